"""Float networks as people write them: the blocks of torchvision, of timm, and functional code."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 5
IMAGES, SERIES, VECTORS = (3, 12, 12), (2, 24), (9,)


class BasicBlock(nn.Module):
    """torchvision's block of ResNet-18: one ReLU module that is called twice, in place."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Resnet(nn.Module):
    """torchvision's ResNet with two stages: 7x7-like stem, max-pool, `torch.flatten`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(6, 6, 1), BasicBlock(6, 6, 1))
        self.layer2 = nn.Sequential(BasicBlock(6, 8, 2), BasicBlock(8, 8, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class InvertedResidual(nn.Module):
    """torchvision's block of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and inputs == outputs
        hidden = 2 * inputs
        self.conv = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()
            ),
            nn.Sequential(
                nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU6(),
            ),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class Mobilenet(nn.Module):
    """torchvision's MobileNetV2: functional average, dropout before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6(inplace=True)
            ),
            InvertedResidual(4, 6, 1),
            InvertedResidual(6, 6, 1),
            InvertedResidual(6, 6, 1),
            nn.Sequential(nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6()),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's batch norm with an activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        training = self.training or self.running_mean is None
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, self.eps
        )
        return self.act(self.drop(x))


class DropPath(nn.Module):
    """timm's stochastic depth."""

    def __init__(self, drop_prob: float = 0.1) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.drop_prob)
        return x * keep / (1 - self.drop_prob)


class TimmBlock(nn.Module):
    """timm's inverted residual, with an average in its shortcut (ResNet-D)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_pw = nn.Conv2d(inputs, 2 * inputs, 1, bias=False)
        self.bn1 = BatchNormAct2d(2 * inputs)
        self.conv_pwl = nn.Conv2d(2 * inputs, outputs, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.drop_path = DropPath()
        self.downsample = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.downsample(x)
        x = self.bn2(self.conv_pwl(self.bn1(self.conv_pw(x))))
        return self.drop_path(x) + shortcut


class Timm(nn.Module):
    """Stem, two such blocks, mean over the map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = BatchNormAct2d(4)
        self.blocks = nn.Sequential(TimmBlock(4, 6), TimmBlock(6, 8))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.blocks(self.bn1(self.conv_stem(x))).mean((2, 3)))


class Dense(nn.Module):
    """Pre-activation layers whose results are concatenated (DenseNet), then SqueezeNet's fire."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 4, 3, padding="same")
        self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(7)
        self.conv1 = nn.Conv2d(4, 3, 3, padding=1, bias=False)
        self.squeeze = nn.Conv2d(7, 4, 1)
        self.expand1, self.expand3 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv0(x)
        x = torch.cat([x, self.conv1(F.relu(self.norm1(x)))], 1)
        x = self.squeeze(F.max_pool2d(self.norm2(x).relu(), 2))
        x = F.relu(x)
        x = torch.cat((F.relu(self.expand1(x)), F.relu(self.expand3(x))), dim=1)
        return F.adaptive_avg_pool2d(F.relu(self.head(x)), 1).view(x.size(0), -1)


class Preact(nn.Module):
    """A residual stream without ReLU, and a max-pool before a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(2))
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6 * 6 * 6, CLASSES, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = x + conv(self.act(norm(x)))
        x = self.act(self.pool(self.norms[2](x)))
        return self.fc(x.reshape(x.shape[0], -1))


class Series(nn.Module):
    """One-dimensional convolutions with batch norm, LeakyReLU and pools."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 5, padding=2),
            nn.BatchNorm1d(6),
            nn.LeakyReLU(0.125),
            nn.MaxPool1d(2),
            nn.Conv1d(6, 6, 3, padding=1, groups=6, bias=False),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv1d(6, 8, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Decoder(nn.Module):
    """Down, and up in each way there is, beside the map before: a class from a map of full size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.ReLU())
        self.low = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.again = nn.Upsample(scale_factor=2)
        self.merge = nn.Conv2d(8, 8, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.last = nn.ConvTranspose2d(2, CLASSES, 2, stride=1, groups=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.stem(x)
        down = self.down(skip)
        low = F.interpolate(self.low(down), size=(6, 6), mode="nearest").relu()
        up = F.relu(self.norm(self.up(F.max_pool2d(low, 2), output_size=[6, 6])))
        y = F.relu(self.merge(torch.cat([self.again(up), skip], 1)))
        return self.last(F.max_pool2d(self.shuffle(y), 4)).mean((2, 3))


class SeriesDecoder(nn.Module):
    """A series made shorter, and longer again by both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 4, stride=4),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1),
            nn.BatchNorm1d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(96, CLASSES),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Mlp(nn.Module):
    """Halves a sum of activations, and ends in probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(9, 16), nn.Linear(16, 16)
        self.norm = nn.BatchNorm1d(16)
        self.fc3 = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.fc1(x))
        y = torch.relu(self.norm(self.fc2(x)))
        return torch.log_softmax(self.fc3((x + y) * 0.5), 1)


class Normalizing(nn.Module):
    """Takes bytes / 255 and normalizes each channel before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6])[:, None, None])
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3])[:, None, None])
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.conv((x - self.mean) / self.std))
        return self.fc(torch.mean(x, dim=[2, 3]))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet": (Resnet, IMAGES),
    "mobilenet": (Mobilenet, IMAGES),
    "timm": (Timm, IMAGES),
    "dense": (Dense, IMAGES),
    "preact": (Preact, IMAGES),
    "series": (Series, SERIES),
    "decoder": (Decoder, IMAGES),
    "series decoder": (SeriesDecoder, SERIES),
    "mlp": (Mlp, VECTORS),
    "normalizing": (Normalizing, IMAGES),
}


def float_network(kind: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """A network with drawn batch norms, and 12 frames for it, in [0, 1)."""
    make, shape = NETWORKS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make()
        frames = torch.randint(0, 256, (12, *shape)) / 256
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.3)
                module.weight.data[::5] *= -1
        with torch.no_grad():
            for _ in range(20):  # statistics of its own activations
                network.train()(frames)
    return network.eval(), frames
