"""An agent's Markdown as safe HTML: CommonMark, tables, strikethrough, task lists; raw HTML is shown as text.

Two gates: `links` decides every address while rendering, and nh3 lets only the listed tags and attributes through.
For the pages of runs and files. The agent page draws its own with static/agents/markdown.js, which makes DOM nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml, unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from agents.pages import links

MAX_LENGTH = 200_000
"""Code points of one text part that are parsed; more is shown as plain text, so that no answer can stall a page."""
TAGS = frozenset(
    (
        *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "pre", "hr", "br", "ul", "ol", "li"),
        *("table", "thead", "tbody", "tr", "th", "td"),
        *("a", "img", "em", "strong", "del", "code", "span"),
    )
)
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "loading"},
    "ol": {"start"},
    "td": {"class"},
    "th": {"class"},
    "code": {"class"},
    "pre": {"data-language", "tabindex"},
    "table": {"tabindex"},
    "span": {"class"},
}
TASKS = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}


def render(text: str, files_url: str, directory: str = "") -> SafeString:
    """`files_url`: where the agent's workspace is served, ending in a slash. `directory`: where in it the text is."""
    if len(text) > MAX_LENGTH:
        return mark_safe(f'<pre tabindex="0">{nh3.clean_text(text)}</pre>')
    html = nh3.clean(
        _PARSER.render(text, {"files_url": files_url, "directory": directory}),
        tags=set(TAGS),
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return mark_safe(html)


def _point(state: StateCore) -> None:
    """Send links and images where they may go, and take out those that may go nowhere."""
    where = (state.env["files_url"], state.env["directory"])
    for block in state.tokens:
        for token in block.children or ():
            if token.type == "image":
                _point_image(token, where)
        _point_links(block.children or (), where)


def _point_image(token: Token, where: tuple[str, str]) -> None:
    src = links.image(str(token.attrs.get("src", "")), *where)
    if src is None:
        token.type, token.attrs = "image_left_out", {}
    else:
        token.attrs |= {"src": src, "loading": "lazy"}


def _point_links(tokens: Sequence[Token], where: tuple[str, str]) -> None:
    closed: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            href = links.link(str(token.attrs.get("href", "")), *where)
            closed.append(href is None)
            if href is not None:
                token.attrs["href"] = href
        if token.type in ("link_open", "link_close") and (closed.pop() if token.type == "link_close" else closed[-1]):
            token.type, token.content = "text", ""


def _tick(state: StateCore) -> None:
    """`- [x] done`: the checkbox as a character, since a page's form is not the agent's."""
    for at, token in enumerate(state.tokens):
        if token.type != "inline" or at < 2 or state.tokens[at - 2].type != "list_item_open" or not token.children:
            continue
        first = token.children[0]
        if first.type == "text" and first.content[:4] in TASKS:
            first.content = TASKS[first.content[:4]] + first.content[4:]


class _Renderer(RendererHTML):
    def image_left_out(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        alt = self.renderInlineAsText(tokens[at].children or [], options, env)
        return f'<span class="left-out">[image: {nh3.clean_text(alt)}]</span>'

    def _aligned(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        """A class instead of a style attribute, which the content security policy forbids."""
        token = tokens[at]
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrs["class"] = "align-" + style.rpartition(":")[2]
        return self.renderToken(tokens, at, options, env)

    th_open = td_open = _aligned

    def table_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        """Wide tables and code scroll in themselves, with the keyboard too."""
        return '<table tabindex="0">'

    def fence(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        language = (tokens[at].info.split() or [""])[0].lower()
        name = nh3.clean_text(unescapeAll(language))
        about, kind = (f' data-language="{name}"', f' class="language-{name}"') if name else ("", "")
        return f'<pre tabindex="0"{about}><code{kind}>{escapeHtml(tokens[at].content)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.fence(tokens, idx, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    parser.add_render_rule("s_open", lambda *_: "<del>")
    parser.add_render_rule("s_close", lambda *_: "</del>")
    # `links` judges addresses, not the parser: what it refuses becomes text here and in the browser alike.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # as its documentation says
    parser.core.ruler.push("point", _point)
    parser.core.ruler.push("tick", _tick)
    return parser


_PARSER = _parser()
