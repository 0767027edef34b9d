"""What a frozen vision side gives for each page, computed once and kept in files for all runs.

A file holds the image tokens of one page, (tokens, D) as `encode_images` gives them. Its name is a
hash of all that decides them: the page's bytes, the sizes of its views, the weights of the vision
side, the precision and the kind of device. A file holds their SHA-256, which is checked for all
pages before a run and whenever one is read: a torn file, or one of something else, is not trusted.

A run with features learns what it would learn without: on a CPU in float32 the same bytes where a
batch is one page, and as many rounding errors apart as a page is encoded alone or with others
where it is more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...data.annotations import Annotation
from ...data.inspection.cache import LIBRARIES, InspectionCache, cache_folder
from ...data.inspection.one_file import FileReport, Inspection
from ...data.pages.loading import reference_path
from ...data.pages.references import parse_reference
from ...errors import PageError, UserError
from ...files import make_output_dir, replacing, sha256_of
from ...model.processing import DeepseekOcrProcessor
from ...pictures import MAX_PIXELS
from ...progress import Progress, say
from .batches import PageDataset, Steps
from .collation import IMAGE_EMBEDS, Batch
from .planning import plan_steps
from .rows import row_name

READERS = 4  # threads that check files: hashing and reading let others run
COMPUTED = 1  # raised by one when the features of an unchanged page change
TOKENS = "image_tokens"  # the tensor in a file
ABOUT = "key_and_sha256"  # its only metadata: the order of several is by chance
VISION_MODULES = ("sam_model", "vision_model", "projector")
VISION_TENSORS = ("image_newline", "view_seperator")  # [sic]


class DamagedFeatures(ValueError):
    """A file of features is torn, or holds those of something else."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageFeatures:
    """The features of the pages of a dataset, read by whoever prepares its batches.

    `keys` are the names of the pages' files in `folder`, by reference; `width` is D. Those of
    `in_memory` are not read from files.
    """

    folder: Path
    keys: Mapping[str, str]
    width: int
    dtype: torch.dtype
    in_memory: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def inputs_of(self, row: Annotation, processor: DeepseekOcrProcessor) -> Batch:
        """The model's inputs of one row, with `image_embeds` in place of views.

        Raises:
            UserError: a file has been damaged since the run began.
        """
        pages = [self.read(reference) for reference in row.images]
        encoded = processor.encode(row.prompt, [len(page) for page in pages], row.text)
        none = torch.zeros(0, self.width, dtype=self.dtype)
        return {**processor.pad([encoded]), IMAGE_EMBEDS: torch.cat([none, *pages])}

    def path(self, key: str) -> Path:
        """Where the features of that key lie."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def read(self, reference: str) -> Tensor:
        """The image tokens of a page, (tokens, D)."""
        if reference in self.in_memory:
            return self.in_memory[reference]
        path = self.path(self.keys[reference])
        try:
            return read_features(path, self.keys[reference], self.width)
        except (DamagedFeatures, OSError) as error:
            raise UserError(
                f"{path}: the features of {reference} are gone, or damaged since the run began "
                f"({error}); nothing is to be mended: the same command computes them again"
            ) from None

    def is_whole(self, key: str) -> bool:
        """Whether the file of that key holds what was written to it."""
        try:
            read_features(self.path(key), key, self.width)
        except (DamagedFeatures, OSError):
            return False
        return True


def prepare_features(
    model: nn.Module,
    accelerator: Accelerator,
    dataset: PageDataset,
    folder: Path,
    *,
    num_workers: int = 0,
    quiet: bool = False,
) -> None:
    """From now on `dataset` gives features; those that `folder` lacks are computed first.

    So are all whose files are damaged: every file is read to its end.

    Args:
        model: on its device, not yet wrapped by `accelerate`; its vision side is frozen.
        num_workers: processes that open the pages meanwhile.

    Raises:
        UserError: a page cannot be opened, or the folder not be written to.
    """
    rows = range(len(dataset.annotations))
    features = _features_of(model, accelerator, dataset, rows, make_output_dir(folder))
    of_keys = {key: reference for reference, key in features.keys.items()}
    place, num_processes = accelerator.process_index, accelerator.num_processes
    quiet = quiet or not accelerator.is_main_process
    found = _missing(features, [*of_keys][place::num_processes], quiet=quiet)
    if num_processes > 1:  # each has looked at its share; what is to be done is shared anew
        found = sorted(gather_object(found))
    if num_damaged := sum(damaged for _, damaged in found):
        say(f"{features.folder}: damaged files are computed again: {num_damaged}", quiet=quiet)
    share = [of_keys[key] for key, _ in found[place::num_processes]]
    reason = ""
    try:
        _compute(model, accelerator, _Views(dataset, share), features, num_workers, quiet=quiet)
    except UserError as error:
        reason = str(error)
    if num_processes > 1:  # also waits until all have written theirs
        reason = "\n".join(filter(None, gather_object([reason])))
    if reason:
        raise UserError(reason)
    dataset.features = features


def rehearse_features(
    model: nn.Module,
    accelerator: Accelerator,
    dataset: PageDataset,
    rows: Iterable[int],
    *,
    num_workers: int = 0,
    quiet: bool = False,
) -> None:
    """As `prepare_features`, for a few rows and without a folder: for a dry run.

    They are written and read back as in a run, and then held in memory; each process has its own.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        features = _features_of(model, accelerator, dataset, rows, Path(folder))
        pages = _Views(dataset, [*features.keys])
        quiet = quiet or not accelerator.is_main_process
        _compute(model, accelerator, pages, features, num_workers, quiet=quiet)
        read = {reference: features.read(reference) for reference in features.keys}
    dataset.features = dataclasses.replace(features, in_memory=read)


def _features_of(
    model: nn.Module,
    accelerator: Accelerator,
    dataset: PageDataset,
    rows: Iterable[int],
    folder: Path,
) -> PageFeatures:
    """Of the pages of those rows: what they are called and look like; none is computed here."""
    own = _without_adapter(model)
    assert not any(p.requires_grad for p in _vision_tensors(own.model).values())
    assert dataset.augmentation is None
    references = dict.fromkeys(image for row in rows for image in dataset.annotations[row].images)
    return PageFeatures(
        folder=folder,
        keys=_keys(own, accelerator, dataset, references),
        width=own.model.image_newline.shape[-1],
        dtype=_dtype_of(own, accelerator, dataset.processor),
    )


def _missing(features: PageFeatures, keys: Sequence[str], *, quiet: bool) -> list[tuple[str, bool]]:
    """Those of the keys that have no whole file, and whether they have a damaged one."""
    missing = []
    with (
        ThreadPoolExecutor(READERS) as pool,
        Progress(len(keys), "files", "features", quiet=quiet, passing=True) as progress,
    ):
        for key, whole in zip(keys, pool.map(features.is_whole, keys), strict=True):
            if not whole:
                missing.append((key, features.path(key).exists()))
            progress.advance()
    return missing


class _Views(Dataset[Batch]):
    """References -> the views of their pages."""

    def __init__(self, dataset: PageDataset, references: Sequence[str]):
        self.dataset, self.references = dataset, references
        self.rows = {image: row for row in dataset.annotations for image in row.images}

    def __getitem__(self, index: int) -> Batch:
        reference = self.references[index]
        try:
            page = self.dataset.open_page(reference)
            return dict(self.dataset.processor.image_processor(page))
        except ValueError as error:
            raise UserError(f"{row_name(self.rows[reference])}: {error}") from None


def _only(rows: Sequence[Batch]) -> Batch:
    return rows[0]


@torch.no_grad()
def _compute(
    model: nn.Module,
    accelerator: Accelerator,
    pages: _Views,
    features: PageFeatures,
    num_workers: int,
    *,
    quiet: bool,
) -> None:
    """One page at a time, which is one overview and its tiles."""
    if not pages.references:
        return
    own = _without_adapter(model)
    plan = plan_steps(range(len(pages.references)), batch_size=1)
    steps = Steps(pages, _only, plan, num_workers)  # type: ignore[arg-type]
    with Progress(len(pages.references), "pages", "features", quiet=quiet) as progress:
        for reference, (_, [views]) in zip(pages.references, steps, strict=True):
            moved = {name: view.to(accelerator.device) for name, view in views.items()}
            with accelerator.autocast():
                [tokens] = own.encode_images(**moved)
            key = features.keys[reference]
            write_features(features.path(key), key, tokens.cpu())
            progress.advance()


def _dtype_of(model: Any, accelerator: Accelerator, processor: DeepseekOcrProcessor) -> torch.dtype:
    """Of the features, which rows without pictures must have too: asked of a blank view."""
    side = processor.image_processor.settings().base_size
    blank = torch.zeros(1, 3, side, side, device=accelerator.device)
    grids = torch.ones(1, 2, dtype=torch.long)
    with torch.no_grad(), accelerator.autocast():
        [tokens] = model.encode_images(blank, None, grids)
    return tokens.dtype


def write_features(path: Path, key: str, tokens: Tensor) -> None:
    """Keep the image tokens of a page, whole or not at all.

    Raises:
        UserError: the folder is full, or cannot be written to.
    """
    tokens = tokens.contiguous()
    about = {ABOUT: f"{key} {_sha256(tokens)}"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file({TOKENS: tokens}, temporary, metadata=about)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: cannot be written ({error}); make room, or name another --feature_cache"
        ) from None


def read_features(path: Path, key: str, width: int) -> Tensor:
    """The image tokens that were kept under a key, (tokens, width).

    Raises:
        DamagedFeatures: the file is torn, or holds something else.
        OSError: there is no such file.
    """
    with _opened(path, key, width) as file:
        tokens = file.get_tensor(TOKENS)
        if file.metadata()[ABOUT] != f"{key} {_sha256(tokens)}":
            raise DamagedFeatures("other bytes than were written")
    return tokens


@contextlib.contextmanager
def _opened(path: Path, key: str, width: int) -> Iterator[Any]:
    """The file under a key, checked by its head; safetensors checks that it is not cut short."""
    try:
        with safe_open(path, "pt") as file:
            if not (file.metadata() or {}).get(ABOUT, "").startswith(f"{key} "):
                raise DamagedFeatures("features of something else")
            shape = file.get_slice(TOKENS).get_shape() if TOKENS in file.keys() else []  # noqa: SIM118
            if len(shape) != 2 or shape[1] != width:
                raise DamagedFeatures(f"shape {tuple(shape)}, expected (tokens, {width})")
            yield file
    except SafetensorError as error:
        raise DamagedFeatures(str(error)) from None


def _keys(
    model: Any, accelerator: Accelerator, dataset: PageDataset, references: Iterable[str]
) -> dict[str, str]:
    """Reference -> the key of its features: a hash of all that decides them."""
    views = dataset.processor.image_processor
    shared = {
        "computed": COMPUTED,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "views": dataclasses.asdict(views.settings()),
        "pixels": [list(views.image_mean), list(views.image_std)],
        "vision": _vision_sha256(model),
        "precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
    }
    contents = _content_hashes(dataset, references)
    keys = {}
    for reference in references:
        parsed = parse_reference(reference)
        page = {"file": contents[parsed.path], "part": parsed.part}
        text = json.dumps({**shared, "page": page}, sort_keys=True)
        keys[reference] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def _content_hashes(dataset: PageDataset, references: Iterable[str]) -> dict[str, str]:
    """File -> SHA-256 of its bytes; as `data_utils.py` found it, where the file is as it was."""
    root = dataset.root
    hashes: dict[str, str] = {}
    with InspectionCache(cache_folder(), root, MAX_PIXELS) as known:
        for path in dict.fromkeys(parse_reference(reference).path for reference in references):
            found, _ = known.recall(Inspection(path, (), with_file=True))
            kept = [report.sha256 for report in found if isinstance(report, FileReport)]
            try:
                hashes[path] = kept[0] if kept else sha256_of(reference_path(root, path))
            except OSError as error:
                raise PageError(f"{path}: cannot be read ({error.strerror})") from None
    return hashes


def _vision_sha256(model: Any) -> str:
    """Of the weights of the vision side and of its sizes."""
    digest = hashlib.sha256()
    config = model.config
    sizes = [config.sam_config.to_dict(), config.clip_config.to_dict()]
    digest.update(json.dumps(sizes, sort_keys=True, default=str).encode())
    for name, tensor in sorted(_vision_tensors(model.model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _vision_tensors(vision: Any) -> dict[str, Tensor]:
    """Parameters and buffers of the vision side, by name."""
    tensors = {name: getattr(vision, name) for name in VISION_TENSORS}
    for name in VISION_MODULES:
        module = getattr(vision, name)
        tensors |= {f"{name}.{key}": value for key, value in module.named_parameters()}
        tensors |= {f"{name}.{key}": value for key, value in module.named_buffers()}
    return tensors


def _without_adapter(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(_bytes(tensor)).hexdigest()


def _bytes(tensor: Tensor) -> Any:
    """The memory of a tensor, as `hashlib` takes it."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
