"""The fonts that glyphs are rendered from: Debian packages under OFL, MIT, BSD, Apache or in the public domain.

apt fetches a package and checks its hash; dpkg-deb unpacks it, with no need of root and nothing installed.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CACHE = Path(platformdirs.user_cache_dir("inference-factory")) / "training"


@dataclass(frozen=True)
class Family:
    """One hand or one design: what must not stand on both sides of a holdout. files are the names of its fonts."""

    name: str
    licence: str
    packages: tuple[str, ...]
    files: tuple[str, ...]


_YOZ = ("antique", "edu", "new-kana", "standard-kana")  # "cute" writes some kana as no one learns them

JAPANESE = (
    Family("klee", "OFL-1.1", ("fonts-klee",), ("KleeOne-Regular.ttf", "KleeOne-SemiBold.ttf")),
    Family("seto", "OFL-1.1", ("fonts-seto",), ("setofont.ttf",)),
    Family("yozfont", "OFL-1.1", tuple(f"fonts-yozvox-yozfont-{kana}" for kana in _YOZ),
           tuple(f"YOz{weight}{kana}.ttf" for kana in ("AF", "EF", "NF", "SF", "E_") for weight in "RB")),
    Family("yusei-magic", "OFL-1.1", ("fonts-yusei-magic",), ("YuseiMagic-Regular.ttf",)),
    Family("reggae", "OFL-1.1", ("fonts-reggae",), ("ReggaeOne-Regular.ttf",)),
    Family("bizud-gothic", "OFL-1.1", ("fonts-morisawa-bizud-gothic",),
           ("BIZUDGothic-Regular.ttf", "BIZUDGothic-Bold.ttf", "BIZUDPGothic-Regular.ttf")),
    Family("bizud-mincho", "OFL-1.1", ("fonts-morisawa-bizud-mincho",),
           ("BIZUDMincho-Regular.ttf", "BIZUDPMincho-Regular.ttf")),
    Family("sawarabi-mincho", "OFL-1.1", ("fonts-sawarabi-mincho",), ("sawarabi-mincho-medium.ttf",)),
    Family("hanazono", "OFL-1.1", ("fonts-hanazono",), ("HanaMinA.ttf",)),
    Family("cedar", "Apache-2.0", ("fonts-motoya-l-cedar",), ("MTLc3m.ttf",)),
    Family("maruberi", "Apache-2.0", ("fonts-motoya-l-maruberi",), ("MTLmr3m.ttf",)),
    Family("kiloji", "BSD-3-Clause", ("fonts-kiloji",), ("kiloji.ttf", "kiloji_b.ttf", "kiloji_d.ttf")),
    Family("konatu", "MIT", ("fonts-konatu",), ("Konatu.ttf", "KonatuTohaba.ttf")),
    Family("dejima", "MIT", ("fonts-dejima-mincho",), ("dejima-mincho-r227.ttf",)),
    Family("mona", "public domain", ("fonts-mona",), ("mona.ttf",)),
    Family("aoyagi", "public domain", ("fonts-aoyagi-soseki", "fonts-aoyagi-kouzan-t"),
           ("aoyagi-soseki.ttf", "AoyagiKouzanT.ttf")),
    Family("kouzan", "public domain", ("fonts-kouzan-mouhitsu",), ("kouzan-mouhitsu.ttf",)),
)  # fmt: skip

LATIN = (
    Family("bwht", "OFL-1.1", ("fonts-bwht",),
           tuple(f"BecauseWe{verb}-Regular.otf" for verb in ("Build", "Connect", "Create", "Learn", "Mentor", "Organize"))),
    Family("breip", "OFL-1.0", ("fonts-breip",), ("Breip.ttf",)),
    Family("comic-neue", "OFL-1.1", ("fonts-comic-neue",), ("ComicNeue-Regular.otf", "ComicNeue-BoldItalic.otf")),
    Family("dancing-script", "OFL-1.1", ("fonts-dancingscript",), ("DancingScript-Regular.otf",)),
    Family("dkg", "OFL-1.1", ("fonts-dkg-handwriting",), ("dkg.ttf", "dkgBI.ttf", "dkgBd.ttf", "dkgIt.ttf")),
    Family("havana", "OFL-1.1", ("fonts-havana",), ("Havana-Regular.otf",)),
    Family("humor-sans", "OFL-1.1", ("fonts-humor-sans",), ("Humor-Sans.ttf",)),
    Family("kaushan", "OFL-1.1", ("fonts-kaushanscript",), ("KaushanScript-Regular.otf",)),
    Family("kristi", "OFL-1.1", ("fonts-kristi",), ("Kristi.ttf",)),
    Family("leckerli", "OFL-1.1", ("fonts-leckerli-one",), ("LeckerliOne-Regular.ttf",)),
    Family("lobster", "OFL-1.1", ("fonts-lobster",), ("lobster.otf",)),
    Family("routed-gothic", "OFL-1.1", ("fonts-routed-gothic",), ("routed-gothic.ttf", "routed-gothic-italic.ttf")),
)  # fmt: skip


def fetch(family: Family) -> list[Path]:
    """The font files of a family, from the cache or from Debian. Raises CalledProcessError, or OSError without apt."""
    found = []
    for package in family.packages:
        folder = CACHE / "fonts" / package
        if not folder.exists():
            _unpack(package, folder)
        found += [path for path in sorted(folder.rglob("*")) if path.name in family.files and path.is_file()]
    missing = set(family.files) - {path.name for path in found}
    if missing:
        raise FileNotFoundError(f"{', '.join(family.packages)}: no {', '.join(sorted(missing))}")
    return found


def unfetched() -> Path:
    """IPAexGothic as matplotlib-fontja has it: a font that is there already, and that is never trained on."""
    import matplotlib_fontja

    return next(Path(matplotlib_fontja.__file__).parent.rglob("*.ttf"))


def _unpack(package: str, folder: Path) -> None:
    """Download a package and unpack it; the folder appears only when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        subprocess.run(("apt-get", "-qq", "download", package), cwd=scratch, check=True)
        (deb,) = Path(scratch).glob("*.deb")
        subprocess.run(("dpkg-deb", "-x", deb, Path(scratch) / "files"), check=True)
        shutil.move(Path(scratch) / "files", folder)
