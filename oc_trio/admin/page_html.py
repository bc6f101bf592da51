"""Renders the status page as HTML: what browsers without JavaScript show, and what `page/status.js` goes on from. Pure.

Every text is escaped; nothing of the page is script or style of its own, which the content security policy forbids.
"""

from html import escape

from oc_trio.admin.tables import Action, Cell, Chart, PageView, Table, TableRow
from oc_trio.classes import frozen

_TITLE = "oc_trio status"
# As often as the journal is counted (`app._COUNT_EVERY_MS`).
REFRESH_SECONDS = 10
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


@frozen
class Viewer:
    """Who looks. `csrf` goes with every action, and is empty for those who have not logged in.

    `notice` is shown once.
    """

    csrf: str = ""
    notice: str = ""
    tone: str = ""


def render_page(view: PageView, viewer: Viewer, now_ms: int) -> str:
    """The whole document."""
    headline = view.headline
    # Who is typing a token must not lose it.
    refresh = f'<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>' if viewer.csrf else ""
    charts = "".join(map(_chart, view.charts))
    if charts:
        charts = f'<section id="charts" tabindex="0" aria-label="The last hour">{charts}</section>'
    # What goes on now is first; then how it was lately, and what the gateway knows of itself.
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/uplot.css">
<link rel="stylesheet" href="/status.css">
{refresh}
</head>
<body data-csrf="{escape(viewer.csrf)}" data-now="{now_ms}">
<header>
<h1>oc_trio <span id="version">{escape(headline.version)}</span></h1>
<p><strong id="phase" class="{headline.tone}">{escape(headline.phase)}</strong>
<span id="process">process {headline.pid}, started {_time(headline.started_at, now_ms)}</span></p>
</header>
<p id="notice" role="status" class="{escape(viewer.tone)}">{escape(viewer.notice)}</p>
<main>
{_login(viewer)}
{charts}
<div id="tables">{"".join(_table(table, viewer, now_ms) for table in view.tables)}</div>
</main>
<footer><a href="/status.json">status.json</a> <a href="/metrics">metrics</a> {_logout(viewer)}</footer>
<script src="/uplot.js"></script>
<script src="/status.js"></script>
</body>
</html>
"""


def _login(viewer: Viewer) -> str:
    if viewer.csrf:
        return ""
    return (
        '<form id="login" method="post" action="/login"><p><label for="token">To see answers, queues and people, and '
        "to act, enter the token that <code>oc-trio status --page</code> prints:</label></p>"
        '<p><input id="token" name="token" type="password" autocomplete="off" required> '
        "<button>Log in</button></p></form>"
    )


def _logout(viewer: Viewer) -> str:
    if not viewer.csrf:
        return ""
    return f'<form method="post" action="/logout">{_hidden("csrf", viewer.csrf)}<button>Log out</button></form>'


def _table(table: Table, viewer: Viewer, now_ms: int) -> str:
    has_actions = any(row.actions for row in table.rows)
    columns = (*table.columns, "Action") if has_actions else table.columns
    heads = "".join(f'<th scope="col" role="columnheader">{escape(column)}</th>' for column in columns)
    rows = "".join(_row(table, row, viewer, now_ms) for row in table.rows)
    name = escape(table.id)
    # Phones show rows as blocks, which takes their roles from them: so they are named.
    return (
        f'<section id="{name}" class="{"facts" if table.are_facts else ""}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{escape(table.title)}</h2>'
        f'<table role="table" aria-labelledby="{name}-title"{"" if table.rows else " hidden"}><thead role="rowgroup">'
        f'<tr role="row">{heads}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
        f'<p class="empty"{" hidden" if table.rows else ""}>{escape(table.empty)}</p></section>'
    )


def _row(table: Table, row: TableRow, viewer: Viewer, now_ms: int) -> str:
    shown = "".join(
        f'<td role="cell" data-label="{escape(column)}">{_cell(cell, now_ms)}</td>'
        for column, cell in zip(table.columns, row.cells)
    )
    if row.actions:
        forms = "".join(_form(action, viewer) for action in row.actions)
        shown += f'<td role="cell" class="actions" data-label="Action">{forms}</td>'
    key = escape(row.key)
    line = f'<tr role="row" data-key="{key}">{shown}</tr>'
    if row.text is None:
        return line
    span = len(table.columns) + bool(row.actions)
    return (
        f'{line}<tr role="row" class="text" data-text="{key}"><td role="cell" colspan="{span}">'
        f'<pre tabindex="0" role="region" aria-label="The answer so far">{escape(row.text)}</pre></td></tr>'
    )


def _cell(cell: Cell, now_ms: int) -> str:
    if cell.at:
        return _time(cell.at, now_ms)
    return f'<span class="state {cell.tone}">{escape(cell.text)}</span>' if cell.tone else escape(cell.text)


def _form(action: Action, viewer: Viewer) -> str:
    fields = "".join(_hidden(name, value) for name, value in action.fields.items())
    options = "".join(
        f'<label><input type="checkbox" name="{escape(name)}" value="yes"> {escape(label)}</label> '
        for name, label in action.options
    )
    label, about = escape(action.label), escape(f"{action.label}: {action.about}")
    return (
        f'<form method="post" action="/actions/{escape(action.name)}">{_hidden("csrf", viewer.csrf)}{fields}'
        f'<button aria-label="{about}">{label}</button> {options}</form>'
    )


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def _chart(chart: Chart) -> str:
    return (
        f'<figure id="{escape(chart.id)}"><figcaption>{escape(chart.title)}'
        f'<span class="summary">{escape(chart.summary)}</span></figcaption><div class="plot" aria-hidden="true"></div>'
        "</figure>"
    )


def _time(at: int, now_ms: int) -> str:
    return f'<time data-at="{at}">{escape(ago(now_ms, at))}</time>'


def ago(now_ms: int, at: int) -> str:
    """`3 min ago`, or `in 3 min`."""
    seconds = abs(now_ms - at) // 1000
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("s", 1))
    length = f"{seconds // size} {unit}"
    return f"in {length}" if at > now_ms else f"{length} ago"
