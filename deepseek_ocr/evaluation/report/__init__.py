"""`report.html`: one self-contained page with the scores and the rows behind them.

page        the parts in order, the policy, the file
scores      the figures of metrics.json: headline, error rates, normalisations, endings
families    other scores, breakdowns, the comparison, a benchmark's table
charts      distributions and intervals as SVG
records     the rows as the report uses them
cards       a row with its page and its texts side by side; which rows are shown
pictures    pages and the boxes on them
rendering   Markdown and tables as safe HTML
differences, edits   two texts compared: as HTML, and small enough for all rows
embedding   all rows as JSON for script.js, which lists, filters and searches them
"""

from __future__ import annotations

from .page import REPORT_NAME, report_html, write_report
from .records import OtherRun

__all__ = ["REPORT_NAME", "OtherRun", "report_html", "write_report"]
