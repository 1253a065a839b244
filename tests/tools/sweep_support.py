# tests/tools/sweep_support.py — a safetensors reader and writer, a JSON Schema checker and an HTML checker of a few lines each, for the sweep's tests.
import html.parser
import json
import struct

DTYPES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B"}


def write_safetensors(path, tensors):
    """`tensors`: name -> (dtype, shape, flat values); written in the order given."""
    header, body = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}{DTYPES[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    """name -> (dtype, shape, bytes)."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], raw[8 + length :][slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def schema_faults(value, schema, where="$"):
    """What is wrong with `value`: the keywords that docs/schemas uses; any other keyword is a fault of the schema."""
    known = {"$schema", "title", "description", "type", "required", "additionalProperties", "properties", "items",
             "minItems", "minimum", "maximum"}
    faults = [f"{where}: unknown keyword {keyword}" for keyword in schema.keys() - known]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    matches = {
        "object": isinstance(value, dict), "array": isinstance(value, list), "string": isinstance(value, str),
        "null": value is None, "number": is_number, "integer": is_number and isinstance(value, int),
    }
    if not any(matches[name] for name in types):
        return faults + [f"{where}: {value!r} is none of {types}"]
    if is_number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        faults.append(f"{where}: {value} is out of range")
    if isinstance(value, dict):
        faults += [f"{where}: no {key}" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            if key in schema.get("properties", {}):
                faults += schema_faults(item, schema["properties"][key], f"{where}.{key}")
            elif schema.get("additionalProperties", True) is False:
                faults.append(f"{where}: {key} is not in the schema")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            faults.append(f"{where}: too few items")
        for i, item in enumerate(value):
            faults += schema_faults(item, schema["items"], f"{where}[{i}]")
    return faults


class Page(html.parser.HTMLParser):
    """Collects tags and text, and every fault: unbalanced tags, scripts, references to anything outside."""

    VOID = {"meta", "link", "br", "img", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.faults = [], [], "", []
        self.feed(text)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")
        for word in ("http:", "https:", "//", "@import", "url(", "javascript:", "nan", "inf\"", "-inf"):
            if word in text.lower().replace("<!doctype html>", "").replace("info", ""):
                self.faults.append(f"contains {word}")

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        if tag in ("script", "iframe", "object", "embed", "img"):
            self.faults.append(f"<{tag}>")
        for name, value in attributes:
            if name.startswith("on") or name == "src" or (name in ("href", "xlink:href") and value != "data:,"):
                self.faults.append(f"<{tag} {name}={value}>")

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        self.text += data
