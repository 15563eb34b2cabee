/**
 * How much a value of the state counts against its limit: as streaming/model/weight.py, which says why. Strings are weighed in
 * UTF-8.
 */
const SCALAR_BYTES = 24;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function weight(value) {
  if (typeof value === "string") return textWeight(value) + 2;
  if (Array.isArray(value)) return value.reduce((sum, item) => sum + weight(item) + 1, 2);
  if (value === null || typeof value !== "object") return SCALAR_BYTES;
  return Object.keys(value).reduce((sum, key) => sum + weight(key) + weight(value[key]) + 2, 2);
}

/** Without the quotes, so that the weights of two halves are the weight of the whole. */
export function textWeight(text) {
  return size(JSON.stringify(text)) - 2;
}

/** In bytes of UTF-8. */
export function size(text) {
  return encoder.encode(text).length;
}

/** `text` in two: at most `mostBytes` of UTF-8, whole characters, and the rest. */
export function cut(text, mostBytes) {
  const encoded = encoder.encode(text);
  if (encoded.length <= mostBytes) return [text, ""];
  let end = Math.max(0, mostBytes);
  while (end && (encoded[end] & 0xc0) === 0x80) end--;
  return [decoder.decode(encoded.subarray(0, end)), decoder.decode(encoded.subarray(end))];
}

/** `text` in pieces of at most `mostBytes` of UTF-8; one empty piece for an empty text. */
export function pieces(text, mostBytes) {
  const encoded = encoder.encode(text);
  const found = [];
  let start = 0;
  do {
    let end = Math.min(start + mostBytes, encoded.length);
    while (end < encoded.length && (encoded[end] & 0xc0) === 0x80) end--;
    found.push(decoder.decode(encoded.subarray(start, end)));
    start = end;
  } while (start < encoded.length);
  return found;
}
