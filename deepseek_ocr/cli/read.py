"""`deepseek-ocr read INPUT...`: documents to text.

deepseek-ocr read scan.png                               its Markdown to the terminal
deepseek-ocr read reports/ invoice.pdf --out texts       a job that goes on where it was stopped
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..data.problems import printable
from ..errors import EXIT_INTERNAL, EXIT_OK, EXIT_SOME_FAILED, UsageError
from ..progress import say
from ..reading.config import DEFAULT_MODEL, MODEL_VARIABLE, ReadConfig
from ..reading.documents import Document, find_documents
from ..reading.dry_run import planned
from ..reading.job import Engine, prompt_for
from ..reading.run import read_into_folder, read_to_stream, watch
from ..reading.tally import Tally
from .options import parse_options
from .reading_progress import ReadingProgress
from .streams import frank_stdout

DESCRIPTION = "Documents to text: pictures and PDFs, one or ten thousand of them."
GOES_ON = "the same command goes on where it stopped"


def main(argv: Sequence[str] | None = None) -> int:
    """Read documents; 3 if a page or a document failed, was cut short or repeats itself."""
    config = parse_options(ReadConfig, argv, prog="deepseek-ocr read", description=DESCRIPTION)
    if config.watch is not None and not config.dry_run:
        return keep_reading(config)
    documents = find(config)
    if config.out is None and len(documents) > 1:
        raise UsageError(
            f"{len(documents)} documents and no place for them; name a folder with --out, or read "
            "one document"
        )
    if config.dry_run:
        return tell_plan(config, documents)
    if config.out is None:
        return print_one(config, documents[0])
    try:
        tally = read_into_folder(config, documents, lambda: load(config), ReadingProgress(config))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GOES_ON) from None
    except OSError as error:
        raise told(error, config) from error
    return report(config, tally)


def told(error: OSError, config: ReadConfig) -> OSError:
    """What ended a job, with the place where it happened and what to do."""
    if not error.strerror:
        return error
    words = f"{error.strerror}; nothing half-written is left, and {GOES_ON}"
    return OSError(error.errno, words, error.filename or str(config.out))


def find(config: ReadConfig) -> list[Document]:
    """The documents that the arguments name."""
    return find_documents(config.inputs, out=config.out, watched=config.watch)


def load(config: ReadConfig) -> Engine:
    """The model as the flags say."""
    from ..inference.engine import load_engine  # here: loading torch takes seconds, --help none
    from ..inference.retries import retries_for

    if not config.is_model_named:
        say(
            f"note: reading with {DEFAULT_MODEL}, a small model for demonstration; name another "
            f"with --model or ${MODEL_VARIABLE}",
            quiet=config.quiet,
        )
    engine = load_engine(
        config.model_path,
        device=config.device,
        dtype=config.dtype,
        adapter=config.adapter,
        mode=config.mode,
        tile_size=config.tile_size,
        base_size=config.base_size,
        max_tiles=config.max_tiles,
        seed=config.seed,
        quantize=None if config.quantize == "none" else config.quantize,
        guard=config.guard,
    )
    mode = None if config.mode == "auto" else config.mode
    engine.retries = retries_for(config.retries, mode=mode, prompt=prompt_for(config, engine))
    return engine


# --- into a folder --------------------------------------------------------------------------------


def report(config: ReadConfig, tally: Tally) -> int:
    """Name what did not end well on stderr, and say on stdout what there is; the exit code."""
    report_failures(config, tally)
    if not (config.quiet or config.json_lines):
        print(summary(config, tally))
    return exit_code(tally)


def exit_code(tally: Tally) -> int:
    """3 where something did not end well."""
    return EXIT_SOME_FAILED if tally.num_bad or tally.faults else EXIT_OK


def summary(config: ReadConfig, tally: Tally) -> str:
    """`texts: 2 documents, 7 pages: 6 ok, 1 failed`."""
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(tally.statuses.items()))
    return (
        f"{printable(str(config.out))}: {counted(tally.num_documents, 'document')}, "
        f"{counted(tally.num_pages, 'page')}" + (f": {statuses}" if statuses else "")
    )


def counted(number: int, noun: str) -> str:
    """`1 page`, `2 pages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def report_failures(config: ReadConfig, tally: Tally) -> None:
    """Name the pages and documents that did not end well."""
    for source, number, end in tally.bad:
        place = source if number is None else f"{source} page {number}"
        told = end.reason if end.reason.startswith(source) else f"{place}: {end.reason}"
        print(f"{end.status}: {printable(told)}", file=sys.stderr)
    if tally.num_bad > len(tally.bad):
        print(f"{tally.num_bad - len(tally.bad)} more; all are in pages.jsonl", file=sys.stderr)
    for source, fault in tally.faults:
        told = f"{source}: all pages are read, but its files cannot be written ({fault})"
        print(f"failed: {printable(told)}", file=sys.stderr)


def keep_reading(config: ReadConfig) -> int:
    """Read what appears in a folder, until interrupted."""
    rounds = watch(config, lambda: find(config), lambda: load(config), ReadingProgress(config))
    try:
        for tally in rounds:
            report(config, tally)
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GOES_ON) from None
    return EXIT_OK


# --- without a folder -----------------------------------------------------------------------------


def print_one(config: ReadConfig, document: Document) -> int:
    """One document's text to stdout."""
    if config.stdout_format == "pdf" and sys.stdout.isatty():
        raise UsageError("a PDF is no text for a terminal; write `> FILE`, or use --out")
    engine = load(config)
    try:
        tally = read_to_stream(config, document, engine, frank_stdout(), ReadingProgress(config))
    except BrokenPipeError:
        print("read: stopped, as nobody reads stdout any more", file=sys.stderr)
        return EXIT_INTERNAL
    report_failures(config, tally)
    return exit_code(tally)


def tell_plan(config: ReadConfig, documents: Sequence[Document]) -> int:
    """What would be done, a line a document, to stdout; what cannot be read, to stderr."""
    num_pages = num_left = num_bad = 0
    for plan in planned(config, documents):
        if plan.reason:
            num_bad += 1
            print(f"failed: {printable(plan.reason)}", file=sys.stderr)
            continue
        num_pages, num_left = num_pages + plan.num_pages, num_left + plan.num_left
        done = plan.num_pages - plan.num_left
        read = f" ({done} read before)" if done else ""
        files = " -> " + ", ".join(map(str, plan.paths)) if plan.paths else ""
        print(printable(f"{plan.document.source}: {counted(plan.num_pages, 'page')}{read}{files}"))
    if not config.quiet:
        print(
            f"{counted(len(documents), 'document')}, {counted(num_pages, 'page')}, "
            f"{num_left} to read"
        )
    return EXIT_SOME_FAILED if num_bad else EXIT_OK
