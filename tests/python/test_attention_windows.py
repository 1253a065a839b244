"""scripts/attention_windows.py on a small made-up transformer: attention replaced by ours, weights through a file."""

import importlib.util
import pathlib

import numpy as np
import pytest

import sparsert as sp

pytest.importorskip("scipy")
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "attention_windows.py"
WIDTH, WIDER, HEADS, LAYERS, WORDS, TOKENS = 48, 96, 4, 2, 60, 80


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("attention_windows", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights under the names that an encoder has, written and read again."""
    random = np.random.default_rng(3)
    sizes = {"embeddings.word_embeddings": (WORDS, WIDTH), "embeddings.position_embeddings": (TOKENS, WIDTH),
             "embeddings.token_type_embeddings": (2, WIDTH)}
    linear = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH),
              "attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH),
              "intermediate.dense": (WIDER, WIDTH), "output.dense": (WIDTH, WIDER)}
    state = {f"{name}.weight": random.standard_normal(shape) for name, shape in sizes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, shape in linear.items():
            state[f"{layer}.{name}.weight"] = random.standard_normal(shape) / np.sqrt(shape[1])
            state[f"{layer}.{name}.bias"] = 0.1 * random.standard_normal(shape[0])
    for name in norms:
        state[f"{name}.weight"] = 1 + 0.1 * random.standard_normal(WIDTH)
        state[f"{name}.bias"] = 0.1 * random.standard_normal(WIDTH)
    path = tmp_path_factory.mktemp("model") / "encoder.safetensors"
    sp.save(path, {name: sp.tensor(x.astype(np.float32)) for name, x in state.items()})
    return sp.load(path)


def texts(count):
    return list(np.random.default_rng(4).integers(0, WORDS, (count, TOKENS)))


def test_full_mask_gives_the_references_embeddings(script, model):
    encoder, exact = script.Encoder(model, HEADS), script.Encoder(model, HEADS, np.float64)
    for ids in texts(4):
        ours, plain = script.rounding_check(encoder, exact, ids)
        assert ours <= 2 * plain + 1


def test_windows_give_what_the_formula_gives_behind_them(script, model):
    encoder, exact = script.Encoder(model, HEADS), script.Encoder(model, HEADS, np.float64)
    ids = texts(1)[0]
    place = np.arange(TOKENS)
    for window in (4, 16, 70):
        seen = abs(place[:, None] - place[None, :]) < window
        expected = exact.embed(ids, lambda q, k, v, seen=seen: script.plain_attention(q, k, v, seen))
        got = encoder.embed(ids, script.Ours(sp.attention.sliding_window(TOKENS, window)))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_measure(script, model):
    encoder = script.Encoder(model, HEADS)
    masks = script.masks_of(TOKENS, (8, 40))
    rows = {row["mask"]: row for row in script.measure(encoder, texts(5), masks, repeats=2)}
    assert list(rows) == ["full", "window 8", "window 40", "window 8, first token global"]
    assert rows["full"]["density"] == 1 and rows["full"]["least_cosine"] == pytest.approx(1)
    assert rows["window 8"]["density"] < rows["window 40"]["density"] < 1
    assert rows["window 8"]["mean_cosine"] < rows["window 40"]["mean_cosine"] < 1
    assert all(0 < row["attention_ms"] < row["encoder_ms"] for row in rows.values())
    assert len(script.table(list(rows.values()), 5).splitlines()) == 6


def test_word_pieces(script):
    pieces = script.WordPieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sparse", "##ly", "un", ",", "caf", "##e"])
    assert pieces("Sparsely, sparse un café!") == [4, 5, 7, 4, 6, 8, 9, 1]
    assert list(pieces.texts("sparse un " * 4, 5)) == [[2, 4, 6, 4, 3], [2, 6, 4, 6, 3]]
