"""Images are moved, mirrored and mixed as the papers say, each by chance of its own."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from secateur.data.images.augmentation import Augmentation, mixed, moved
from secateur.task import Task

NEITHER = Augmentation(crop=False, flip=False)


def pictures(rows: int = 64, side: int = 16) -> Tensor:
    """Every pixel of an image is different."""
    return torch.arange(side * side, dtype=torch.uint8).view(1, side, side, 1).repeat(rows, 1, 1, 2)


def all_crops(image: Tensor, border: int) -> dict[bytes, tuple[int, int, bool]]:
    """Every cut out of an image in a black frame, and its mirror image, one by one."""
    side = len(image)
    framed = np.pad(image.numpy(), ((border, border), (border, border), (0, 0)))
    found = {}
    for down in range(2 * border + 1):
        for right in range(2 * border + 1):
            cut = framed[down : down + side, right : right + side]
            found[cut.tobytes()] = (down, right, False)
            found[cut[:, ::-1].tobytes()] = (down, right, True)
    return found


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_each_image_is_a_cut_of_itself_in_a_black_frame(crop: bool, flip: bool) -> None:
    images = pictures(rows=800)
    crops = all_crops(images[0], border=2)
    found = [crops[image.numpy().tobytes()] for image in moved(images, Augmentation(crop, flip), Generator())]
    down, right, mirrored = (set(places) for places in zip(*found, strict=True))
    assert (down, right) == (({0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}) if crop else ({2}, {2}))
    assert mirrored == ({False, True} if flip else {False})
    assert len(set(found)) == (25 if crop else 1) * (2 if flip else 1)  # independent of each other


def test_the_images_given_stay_as_they_are() -> None:
    images = pictures()
    before = images.clone()
    moved(images, Augmentation(), Generator())
    floats = images.permute(0, 3, 1, 2).float()
    mixed(floats, torch.arange(64), 64, Augmentation(cutmix=1.0), Generator())
    assert torch.equal(images, before) and torch.equal(floats, before.permute(0, 3, 1, 2).float())


def constant(rows: int = 8) -> tuple[Tensor, Tensor]:
    """Images whose every pixel is the number of their class."""
    return torch.arange(rows).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).float(), torch.arange(rows)


@pytest.mark.parametrize("augmentation", [Augmentation(mixup=1.0), Augmentation(cutmix=1.0)])
def test_labels_are_the_shares_of_the_images_that_were_mixed(augmentation: Augmentation) -> None:
    images, labels = constant()
    generator = Generator().manual_seed(1)
    for _ in range(50):
        x, shares = mixed(images, labels, 8, augmentation, generator)
        torch.testing.assert_close(shares.sum(1), torch.ones(8))
        torch.testing.assert_close(x.mean((1, 2, 3)), shares @ torch.arange(8.0))  # what the pixels themselves show


def test_mixup_blends_whole_images_and_cutmix_pastes_a_box() -> None:
    images, labels = constant()
    generator = Generator().manual_seed(1)
    blended, _ = mixed(images, labels, 8, Augmentation(mixup=1.0), generator)
    assert all(len(image.unique()) == 1 for image in blended)
    pasted, _ = mixed(images, labels, 8, Augmentation(cutmix=1.0), generator)
    assert set(pasted.unique().tolist()) <= set(range(8))
    for image, label in zip(pasted, labels, strict=True):
        down, right = torch.nonzero(image[0] != label, as_tuple=True)
        assert len(down) == 0 or len(down) == (down.max() - down.min() + 1) * (right.max() - right.min() + 1)


def test_with_both_kinds_a_coin_decides() -> None:
    images, labels = constant()
    generator = Generator().manual_seed(1)
    draws = [mixed(images, labels, 8, Augmentation(mixup=1.0, cutmix=1.0), generator)[0] for _ in range(40)]
    cuts = sum(bool((x == x.round()).all()) for x in draws)
    assert 10 < cuts < 30


def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses() -> None:
    images, labels = constant()
    x, shares = mixed(images, labels, 8, Augmentation(mixup=1.0), Generator())
    scores = torch.randn(8, 8)
    each = torch.stack([F.cross_entropy(scores, torch.full((8,), c), reduction="none") for c in range(8)], dim=1)
    torch.testing.assert_close(Task.classification().loss(scores, (x, shares)), (shares * each).sum(1).mean())
