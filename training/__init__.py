"""How every weight in the package was made: `python -m training reader`, `painter`, `tiny`. Needs the extra `training`."""
