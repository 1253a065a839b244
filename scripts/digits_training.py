# scripts/digits_training.py — what the scripts that train on the digits share: the loss and Adam, in NumPy.
import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def cross_entropy(logits, labels):
    """The mean over the rows, and its gradient by the logits, (rows, classes)."""
    grad = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad /= grad.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(np.maximum(grad[rows, labels], 1e-30)).mean()
    grad[rows, labels] -= 1
    return float(loss), grad / np.float32(len(labels))


class Adam:
    """Moments of one array of parameters (Kingma and Ba, 2015); their order may change with the parameters'."""

    def __init__(self, parameters):
        self.mean, self.square, self.step = np.zeros_like(parameters), np.zeros_like(parameters), 0

    def change(self, grad, rate):
        """What to take off the parameters."""
        self.step += 1
        self.mean += (1 - BETA1) * (grad - self.mean)
        self.square += (1 - BETA2) * (grad * grad - self.square)
        scale = np.sqrt(self.square / np.float32(1 - BETA2**self.step)) + np.float32(EPSILON)
        return np.float32(rate / (1 - BETA1**self.step)) * self.mean / scale
