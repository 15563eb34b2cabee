/**
 * Markdown with its long blocks cut: code, tables, and whatever else goes on for long without a blank line. What is cut is neither
 * parsed nor made into nodes, so that no answer stalls the page while it streams or when it is mounted.
 */

const CODE_LINES = 60;
const TABLE_LINES = 52;
const CODE_CHARS = 6_000;
const MOST_CHARS = 16_000;
/** Each time that a reader wants more, this many times as much is shown. */
const GROWTH = 4;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-*:?[ \t]*)*$/;

/**
 * {text, cuts: [{start, at, from, to, chars, lines, unit}]}. `start`: where the block begins in `source`, which stays the same while
 * the text grows. `at`: where it was cut, in `text`. `from`, `to`: all of its content, in `source`. `chars`, `lines`: what is left out.
 * `grown`: how often the reader wanted more, by `start`.
 */
export function shorten(source, grown) {
  if (source.length <= CODE_CHARS && lineCount(source) <= TABLE_LINES) return { text: source, cuts: [] };
  const cuts = [];
  let text = "";
  let done = 0; // what is in `text` already, in `source`
  for (const block of blocksOf(source)) {
    const end = endOf(source, block, GROWTH ** (grown.get(block.start) ?? 0));
    if (end >= block.to) continue;
    text += source.slice(done, end);
    const { start, from, to, unit } = block;
    cuts.push({ start, at: text.length - 1, from, to, unit, chars: to - end, lines: lineCount(source.slice(end, to)) });
    done = to;
  }
  return { text: text + source.slice(done), cuts };
}

/** {start, from, to, unit, lines, chars}, where the last two are what is shown at most: fenced code without its fences, and other lines that follow each other without a blank one. */
function* blocksOf(source) {
  let at = 0;
  while (at < source.length) {
    const line = lineAt(source, at);
    const fence = FENCE.exec(line.text);
    if (fence) {
      const [to, next] = closing(source, line.next, fence[1]);
      yield { start: at, from: line.next, to, unit: "lines", lines: CODE_LINES, chars: CODE_CHARS };
      at = next;
    } else if (!line.text.trim()) {
      at = line.next;
    } else {
      const block = paragraph(source, at);
      yield block;
      at = block.to;
    }
  }
}

function paragraph(source, start) {
  let [to, number, isTable] = [start, 0, false];
  while (to < source.length) {
    const line = lineAt(source, to);
    if (!line.text.trim() || (number && FENCE.test(line.text))) break;
    isTable ||= number === 1 && line.text.includes("|") && DELIMITER_ROW.test(line.text);
    [to, number] = [line.next, number + 1];
  }
  return { start, from: start, to, unit: isTable ? "rows" : "lines", lines: isTable ? TABLE_LINES : Infinity, chars: MOST_CHARS };
}

/** Where the content of fenced code ends, and where what comes behind it begins. */
function closing(source, from, fence) {
  for (let at = from; at < source.length; ) {
    const line = lineAt(source, at);
    const text = line.text.trim();
    if (text.length >= fence.length && text === fence[0].repeat(text.length)) return [at, line.next];
    at = line.next;
  }
  return [source.length, source.length];
}

/** Where the part of a block ends that is shown: behind a line, or within the first one if that is too long. */
function endOf(source, { from, to, lines, chars }, factor) {
  const most = chars * factor;
  let at = from;
  for (let count = 0; at < to && count < lines * factor; count++) {
    const { next } = lineAt(source, at);
    if (next - from > most) return at > from ? at : charEnd(source, Math.min(to, from + most));
    at = next;
  }
  return at;
}

/** Not inside a surrogate pair. */
function charEnd(source, at) {
  return source.charCodeAt(at) >> 10 === 0x37 ? at - 1 : at;
}

function lineAt(source, at) {
  const end = source.indexOf("\n", at);
  return end === -1 ? { text: source.slice(at), next: source.length } : { text: source.slice(at, end), next: end + 1 };
}

function lineCount(text) {
  let count = text && !text.endsWith("\n") ? 1 : 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}
