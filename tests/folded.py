"""Networks with linear layers after each other, and what is asked of them when these are merged."""

import torch
from torch import Tensor, nn

from secateur import zoo
from secateur.depth import Affine
from secateur.folding import Folded, fold

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
EXACT = {torch.float32: 1e-5, torch.float64: 1e-10}


def settled(model: nn.Module) -> nn.Module:
    """The model in eval mode, its norms with statistics and weights as after training."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


@torch.no_grad()
def assert_equal(folded: nn.Module, model: nn.Module, x: Tensor) -> None:
    found, wanted = folded(x), model(x)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= EXACT[x.dtype] * float(wanted.abs().max())


def assert_folds_exactly(model: nn.Module, x: Tensor, *, precise: bool = True, **settings: object) -> Folded:
    """The folded model; it equals the original, folded in float64 as well if `precise`."""
    folded = fold(model, x, **settings)
    assert_equal(folded.model, model, x)
    if precise:
        assert_equal(fold(model.double(), x.double(), **settings).model, model, x.double())
        model.float()
    return folded


@torch.no_grad()
def macs(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds for one row, as the modules see them."""
    found: list[int] = []
    hooks = [
        module.register_forward_hook(lambda m, _, out: found.append(out.numel() // len(x) * m.weight[0].numel()))
        for module in model.modules()
        if isinstance(module, PRODUCTS)
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return sum(found)


def products(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, PRODUCTS)]


def affine(units: int, axis: int = -3) -> Affine:
    line = Affine(units, axis)
    nn.init.uniform_(line.weight, -1, 1)
    nn.init.uniform_(line.bias, -1, 1)
    return line


def randomised(part: nn.Module) -> nn.Module:
    """The line of a random Affine; anything else as it is."""
    return affine(part.units, part.axis) if isinstance(part, Affine) else part


def blocks(name: str = "resnet20", **options: object) -> tuple[nn.Module, Tensor]:
    """A block of a residual network and the one after it, where width and size change, with an input."""
    model = zoo.build(name, **options)
    return settled(nn.Sequential(model.layer1[1], model.layer2[0])), torch.randn(2, 16, 9, 9)


class Inverted(nn.Module):
    """A MobileNet V2 block, whose activations are given."""

    def __init__(self, before: int, inner: int, after: int, first: nn.Module, second: nn.Module, stride: int = 1):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Sequential(nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), first),
            nn.Sequential(
                nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), second
            ),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    def __init__(self, width: int, inner: int, act: nn.Module):
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x))


class Down(nn.Module):
    def __init__(self, inner: int, width: int):
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.dropout = nn.Dropout()
        self.norm = nn.LayerNorm(width)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        return self.norm(self.dropout(self.dense(inner)) + x)


class Bert(nn.Module):
    """The MLP of a BERT layer, in the modules that transformers spreads it over."""

    def __init__(self, width: int, inner: int, act: nn.Module):
        super().__init__()
        self.before = nn.Linear(width, width)
        self.intermediate = Up(width, inner, act)
        self.output = Down(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.before(x))
        return self.output(self.intermediate(x), x)
