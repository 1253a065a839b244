"""Masks and attention, against NumPy in float64, torch's attention and ONNX's node tests where those are installed."""

import itertools
import math

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp

A = sp.attention


def positions(n, offset=0):
    queries, keys = (n, n) if isinstance(n, int) else n
    return np.arange(queries)[:, None] + offset, np.arange(keys)[None, :]


def reference(q, k, v, seen, scale=None, bias=None):
    """softmax(q k^T) v over the pairs seen, in float64; rows that see nothing are 0."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat(group, axis=1), v.repeat(group, axis=1)
    scores = np.einsum("bhid,bhjd->bhij", q, k) * (1 / math.sqrt(q.shape[3]) if scale is None else scale)
    scores = np.where(seen, scores + (0 if bias is None else bias), -np.inf)
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhij,bhjd->bhid", weights / np.where(total == 0, 1, total), v)


def operands(random, heads=2, key_heads=2, n=(40, 40), depth=16, value_depth=16, batch=2, dtype=np.float32):
    shapes = (heads, n[0], depth), (key_heads, n[1], depth), (key_heads, n[1], value_depth)
    return [random.standard_normal((batch, *shape)).astype(dtype) for shape in shapes]


def test_families_are_their_formulas():
    p, j = positions((70, 90), 4)
    n = (70, 90)
    cases = {
        A.full(n, offset=4): np.full(n, True),
        A.causal(n, offset=4): j <= p,
        A.sliding_window(n, 9, offset=4): abs(p - j) < 9,
        A.dilated(n, 3, 5, offset=4): (abs(p - j) <= 15) & ((p - j) % 5 == 0),
        A.strided(n, 6, offset=4): (j <= p) & ((p - j) % 6 == 0),
        A.global_tokens(n, [0, 50], offset=4): np.isin(j, [0, 50]) | np.isin(p, [0, 50]),
        A.longformer(n, 5, [3], offset=4): (abs(p - j) < 5) | (j == 3) | (p == 3),
        A.prefix_lm(n, 20, offset=4): (j < 20) | (j <= p),
    }
    for mask, seen in cases.items():
        same_bits(mask.to_dense().numpy(), seen)
        assert mask.shape == n and mask.heads == 1 and mask.nnz == seen.sum()
        assert mask.density == pytest.approx(seen.mean())
        same_bits(mask.to_csr().to_dense().numpy(), seen.astype(np.float32))
        same_bits(mask.to_bsr(16).to_dense().numpy(), seen.astype(np.float32))
    for (a, x), (b, y) in itertools.product(cases.items(), repeat=2):
        same_bits((a & ~b).to_dense().numpy(), x & ~y)
        same_bits((a | b).to_dense().numpy(), x | y)


def test_masks_from_arrays(random):
    scores = random.standard_normal((3, 20, 30)).astype(np.float32)
    chosen = A.topk(scores, 4).to_dense().numpy()
    assert (chosen.sum(axis=2) == 4).all()
    assert (np.sort(np.where(chosen, scores, -np.inf))[..., -4:] == np.sort(scores)[..., -4:]).all()
    same_bits(A.from_dense(chosen).to_dense().numpy(), chosen)
    csr = sp.to_csr(chosen[0].astype(np.float32))
    same_bits(A.from_csr(csr).to_dense().numpy(), chosen[0])
    same_bits(A.block([[1, 0], [0, 1]], 3).to_dense().numpy(), np.kron(np.eye(2), np.ones((3, 3))).astype(bool))
    same_bits(A.block([[1, 0], [1, 1]], 10, n=(15, 18)).to_dense().numpy()[:, 12], np.arange(15) >= 10)
    ids = np.array([0, 0, 1, 1, 1, -1])
    same_bits(A.document(ids).to_dense().numpy(), (ids[:, None] == ids[None, :]) & (ids >= 0)[:, None])
    heads = A.per_head([A.causal(10), A.full(10)])
    assert heads.heads == 2 and heads.to_dense().shape == (2, 10, 10)
    assert heads.to_csr(head=1).nnz == 100


def test_bigbird_is_seeded():
    one, same, other = (A.bigbird(500, 20, 8, 70, seed=s).to_dense().numpy() for s in (1, 1, 2))
    same_bits(one, same)
    assert (one != other).any() and one[:8].all() and one[:, :8].all()


def test_drawings_and_files(tmp_path):
    mask = A.causal(100) & (A.sliding_window(100, 10) | A.global_tokens(100, [0]))
    assert mask.to_svg().startswith("<svg") and mask._repr_svg_() == mask.to_svg()
    assert mask.to_text(cells=4, unicode=False).splitlines()[0] == "+..."
    mask.save(tmp_path / "mask.safetensors")
    same_bits(A.load(tmp_path / "mask.safetensors").to_dense().numpy(), mask.to_dense().numpy())
    with pytest.raises(sp.FileError):
        A.load(tmp_path / "none.safetensors")
    assert mask.with_block_size(16).blocks() != mask.blocks()
    assert repr(mask) == "Mask(shape=(100, 100), heads=1, block_size=64)"


@pytest.mark.parametrize("key_heads, value_depth", [(4, 16), (2, 16), (1, 5)])
def test_attend(device, random, key_heads, value_depth):
    q, k, v = operands(random, heads=4, key_heads=key_heads, n=(40, 75), value_depth=value_depth)
    mask = A.causal((40, 75), offset=35) & A.sliding_window((40, 75), 20, offset=35)
    seen = mask.to_dense().numpy()
    bias = random.standard_normal((4, 40, 75)).astype(np.float32)
    tensors = [sp.tensor(x, device=device) for x in (q, k, v)]
    for scale, extra in [(None, None), (0.3, bias)]:
        added = None if extra is None else sp.tensor(extra, device=device)
        got, sums = A.attend(*tensors, mask, scale, bias=added, log_sum_exp=True)
        assert got.device == device and sums.shape == (2, 4, 40)
        np.testing.assert_allclose(got.cpu().numpy(), reference(q, k, v, seen, scale, extra), atol=2e-6)
    np.testing.assert_allclose(A.attend(*tensors).cpu().numpy(), reference(q, k, v, True), atol=2e-6)
    out = sp.zeros((2, 4, 40, value_depth), device=device)
    assert A.attend(*tensors, mask, out=out) is out
    same_bits(out.cpu().numpy(), A.attend(q, k, v, mask).numpy())


def test_backward_agrees_with_differences(device, random):
    q, k, v = operands(random, n=(9, 70), depth=3, value_depth=2, batch=1, dtype=np.float64)
    mask = A.causal((9, 70), offset=61) & ~A.strided((9, 70), 3, offset=60)
    grad = random.standard_normal((1, 2, 9, 2))
    gradients = A.attend_backward(*(sp.tensor(x, device=device) for x in (grad, q, k, v)), mask)
    seen = mask.to_dense().numpy()
    for at, gradient in enumerate(gradients):
        assert gradient.device == device
        for element in range(0, gradient.cpu().numpy().size, 11):
            moved = [[x.copy() for x in (q, k, v)] for _ in range(2)]
            moved[0][at].flat[element] += 1e-6
            moved[1][at].flat[element] -= 1e-6
            above, below = ((reference(*m, seen) * grad).sum() for m in moved)
            assert gradient.cpu().numpy().flat[element] == pytest.approx((above - below) / 2e-6, rel=1e-3, abs=1e-5)


def test_rows_that_see_nothing_are_zero(device, random):
    q, k, v = (sp.tensor(np.full((1, 1, 5, 4), np.nan, np.float32), device=device) for _ in range(3))
    got, sums = A.attend(q, k, v, ~A.full(5), log_sum_exp=True)
    same_bits(got.cpu().numpy(), np.zeros((1, 1, 5, 4), np.float32))
    assert (sums.cpu().numpy() == -np.inf).all()
    for gradient in A.attend_backward(q, q, k, v, ~A.full(5)):
        same_bits(gradient.cpu().numpy(), np.zeros((1, 1, 5, 4), np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(device, random, dtype):
    q, k, v = operands(random, n=(30, 30), dtype=dtype)
    got = A.attend(*(sp.tensor(x, device=device) for x in (q, k, v)), A.causal(30)).cpu().numpy()
    assert got.dtype == dtype
    expected = reference(q, k, v, A.causal(30).to_dense().numpy())
    np.testing.assert_allclose(got.astype(np.float64), expected, atol=20 * np.finfo(dtype).eps)


def test_the_steps_one_by_one(device, random):
    q, k, v = operands(random, heads=1, key_heads=1, n=(30, 50), batch=1)
    mask = A.causal((30, 50), offset=10) & ~A.strided((30, 50), 4, offset=10)
    tensors = [sp.tensor(x[0, 0], device=device) for x in (q, k, v)]
    weights = A.weights(tensors[0], tensors[1], mask.to_csr().to(device))
    rows = weights.cpu().to_dense().numpy().sum(axis=1)
    np.testing.assert_allclose(rows, mask.to_dense().numpy().any(axis=1), atol=1e-6)
    got = sp.spmm(weights, tensors[2]).cpu().numpy()
    np.testing.assert_allclose(got, A.attend(q, k, v, mask).numpy()[0, 0], atol=2e-6)


def test_bad_arguments():
    x = np.zeros((1, 2, 4, 8), np.float32)
    with pytest.raises(ValueError, match="attend: the mask is for 5 queries"):
        A.attend(x, x, x, A.causal(5))
    with pytest.raises(ValueError, match="attend: q"):
        A.attend(x[0], x, x, A.causal(4))
    with pytest.raises(ValueError, match="order is fastest"):
        A.attend(x, x, x, order="fastest")
    with pytest.raises(ValueError, match="block_size is 48"):
        A.causal(5, block_size=48)
    with pytest.raises(ValueError, match="tokens"):
        A.global_tokens(5, [5])
    with pytest.raises(ValueError, match="lengths"):
        A.causal(4) & A.causal(5)


def test_against_torch(random):
    torch = pytest.importorskip("torch", minversion="2.0")
    q, k, v = operands(random, n=(33, 130))
    grad = random.standard_normal((2, 2, 33, 16)).astype(np.float32)
    mask = A.sliding_window((33, 130), 40, offset=50) & ~A.strided((33, 130), 3, offset=50)
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    seen = torch.tensor(mask.to_dense().numpy())
    out = torch.nn.functional.scaled_dot_product_attention(*tensors, attn_mask=seen)
    out.backward(torch.tensor(grad))
    np.testing.assert_allclose(A.attend(q, k, v, mask).numpy(), out.detach().numpy(), atol=2e-6)
    for got, tensor in zip(A.attend_backward(grad, q, k, v, mask), tensors):
        np.testing.assert_allclose(got.numpy(), tensor.grad.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_onnx_node_tests():
    onnx = pytest.importorskip("onnx", minversion="1.19")
    import onnx.backend.test.case.node as node_cases

    cases = [c for c in node_cases.collect_testcases("Attention") if c.name.startswith("test_attention_4d")]
    ran = set()
    for case in cases:
        node = case.model.graph.node[0]
        if node.op_type != "Attention":
            continue  # the function body of the same case
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs = dict(zip(node.input, case.data_sets[0][0]))
        if set(attributes) - {"is_causal", "scale"} or set(node.input) - {"Q", "K", "V", "attn_mask", ""}:
            continue  # soft caps, caches, other outputs
        q, k, v = (inputs[name] for name in "QKV")
        if q.dtype not in (np.float32, np.float16):
            continue
        n = (q.shape[2], k.shape[2])
        mask = A.causal(n) if attributes.get("is_causal") else A.full(n)
        bias, extra = None, inputs.get("attn_mask")
        if extra is not None and extra.dtype == bool:
            if extra.ndim > 2:
                continue  # a mask for each batch
            mask = mask & A.from_dense(extra)
        elif extra is not None:
            bias = extra.astype(q.dtype)
        got = A.attend(q, k, v, mask, attributes.get("scale"), bias=bias).numpy()
        tolerance = 1e-3 if q.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(got, case.data_sets[0][1][0], rtol=tolerance, atol=tolerance, err_msg=case.name)
        ran.add(case.name)
    assert len(ran) >= 5, f"only {sorted(ran)} of {[c.name for c in cases]}"
