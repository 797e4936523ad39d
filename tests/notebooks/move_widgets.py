# Runs in a notebook's kernel after its last cell: moves every widget through its values, presses every button, and
# fails with all that went wrong.
import ipywidgets
from ipywidgets.widgets import widget as _all_widgets

_wrong = []


def _look(widget, what):
    for view in list(_all_widgets._instances.values()):
        if isinstance(view, ipywidgets.HTML) and "factory-bug" in view.value:
            _wrong.append(f"{type(widget).__name__} {getattr(widget, 'description', '')!r} {what}: {view.value[:600]}")
            view.value = ""


def _attempt(widget, what, action):
    try:
        action()
    except Exception as error:
        _wrong.append(
            f"{type(widget).__name__} {getattr(widget, 'description', '')!r} {what}: {type(error).__name__}: {error}"
        )
    _look(widget, what)


def _values(widget):
    if isinstance(widget, (ipywidgets.IntSlider, ipywidgets.BoundedIntText, ipywidgets.Play)):
        every = range(widget.min, widget.max + 1, widget.step or 1)
        return list(every) if len(every) <= 40 else [widget.min, (widget.min + widget.max) // 2, widget.max]
    if isinstance(widget, (ipywidgets.FloatSlider, ipywidgets.BoundedFloatText)):
        return [widget.min + (widget.max - widget.min) * part / 4 for part in range(5)]
    if isinstance(widget, (ipywidgets.Checkbox, ipywidgets.ToggleButton)):
        return [not widget.value, widget.value]
    if hasattr(widget, "_options_full"):
        values = [value for _, value in widget._options_full]
        return [(value,) for value in values] if isinstance(widget.value, tuple) else values
    if isinstance(widget, (ipywidgets.Text, ipywidgets.Textarea, ipywidgets.Combobox)):
        return ["", "東京タワーはどこ?", "What is 1 + 1?", "🙂" * 3, "あ" * 400]
    return []


_look(None, "as the notebook shows it")
for _widget in list(_all_widgets._instances.values()):
    _before = getattr(_widget, "value", None)
    for _value in _values(_widget):
        _attempt(_widget, f"value={_value!r}", lambda: setattr(_widget, "value", _value))  # noqa: B023
    if _values(_widget):
        _attempt(_widget, f"value={_before!r}", lambda: setattr(_widget, "value", _before))  # noqa: B023
    if isinstance(_widget, ipywidgets.Button):
        _attempt(_widget, "pressed", _widget.click)
assert not _wrong, "\n".join(_wrong)
