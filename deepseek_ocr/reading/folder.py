"""The output folder of a job: its journal, what it knows of documents, and who works there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import UserError
from ..files import make_output_dir, remove_torn_files, write_atomic
from .catalogue import Catalogue
from .growing import object_of
from .journal import Journal
from .kept_pages import KeptPages
from .leases import Leases

WORK_NAME = ".reading"
"""What a job needs to go on: answers, page counts, leases. Without it all is read again."""
SETTINGS_NAME = "job.json"


class JobFolder:
    """Journal, catalogue and kept pages of an output folder, as of its last `refresh`."""

    def __init__(self, out: Path):
        self.out = Path(out)
        self.work = self.out / WORK_NAME
        self.journal = Journal(self.out)
        self.catalogue = Catalogue(self.work)
        self.leases = Leases(self.work)
        self.refresh()

    def refresh(self) -> None:
        """Learn what other processes have done since."""
        self.journal.refresh()
        self.catalogue.refresh()

    def kept_pages(self, fingerprint: str) -> KeptPages:
        """The answers of a document's pages."""
        return KeptPages(self.work / "pages" / f"{fingerprint}.jsonl")

    def begin_anew(self, names: dict[str, str]) -> None:
        """Forget all that is known of documents, by fingerprint -> name of the outputs."""
        self.journal.rewrite(names)
        for fingerprint, name in names.items():
            self.kept_pages(fingerprint).path.unlink(missing_ok=True)
            if self.catalogue.written(name) is not None:
                self.catalogue.set_written(name, None)


@contextlib.contextmanager
def joined(out: Path, job: str, forget: dict[str, str] | None = None) -> Iterator[JobFolder]:
    """An output folder in which this process works from now on, alone or with others.

    Args:
        job: digest of the settings that all who work there have in common.
        forget: documents (fingerprint -> name) that are begun anew.

    Raises:
        UserError: the folder cannot be used, or another process reads there with other settings,
            or anything is to be begun anew while another process reads there.
    """
    make_output_dir(out)
    folder = JobFolder(out)
    (folder.work / "pages").mkdir(parents=True, exist_ok=True)
    settings = folder.work / SETTINGS_NAME

    def begin() -> None:
        write_atomic(settings, json.dumps({"settings": job}) + "\n")
        if forget:
            folder.begin_anew(forget)

    with folder.leases:
        alone = folder.leases.join(begin)
        if not alone and forget:
            raise UserError(
                f"{out}: another process reads into it; wait for it, or leave --no_resume out"
            )
        if not alone and _settings_in(settings) != job:
            raise UserError(
                f"{out}: another process reads into it with other settings; wait for it, name "
                "another --out, or give the same flags to share its work"
            )
        folder.refresh()
        yield folder


def _settings_in(path: Path) -> object:
    try:
        found = object_of(path.read_bytes())
    except OSError:
        return None
    return None if found is None else found.get("settings")


def remove_torn(folder: JobFolder, names: Collection[str]) -> None:
    """Delete what killed processes were writing, beside the outputs of such names."""
    places = {folder.out, folder.work}
    for name in names:
        places.add((folder.out / name).parent)
        places |= {folder.out / f"{name}.{kind}" for kind in ("figures", "boxes")}
    for place in places:
        if place.is_dir():
            remove_torn_files(place)
