"""JointGAN over the latents of an MMVAE: learns which image latent and which text latent make a pair.

Pu et al. 2018, JointGAN: Multi-Domain Joint Distribution Learning with Generative Adversarial Nets. Two
marginal and two conditional generators make four joint distributions,

    p1 = q(x) p(y | x)   p2 = q(y) p(x | y)   p3 = p(x) p(y | x)   p4 = p(y) p(x | y)   p5 = q(x, y), real

where x is the image's latent and y the caption's, q is data and p generators. One critic tells the five apart
by a softmax; each generator wants its pairs taken for real ones. Pairs are drawn from p3: an image, then a
caption.

Our reconstruction: the paper works on pixels and embeddings of sentences; here x and y are the MMVAE's
posterior means, standardised, which it decodes to an image and a caption. Generators get the non-saturating
loss of Goodfellow et al. 2014 in place of the minimax one, and the critic a gradient penalty on real pairs
(R1, Mescheder et al. 2018).

B batch, Z numbers of a latent, N numbers of noise.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from mxqvae.config import configuration

REAL = 4
"""The critic's class of real pairs; the generated ones are 0 to 3, p1 to p4."""


@configuration
class JointGANConfig:
    """Sizes of generators and critic."""

    joint_size: Annotated[int, Field(ge=1)]
    """Numbers Z of a latent."""
    noise_size: Annotated[int, Field(ge=1)] = 64
    """Numbers N of the noise of each generator."""
    width: Annotated[int, Field(ge=1)] = 512
    """Hidden numbers of generators and critic."""
    penalty_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the critic's gradient penalty."""


class LatentPairs(NamedTuple):
    """Joint latents of both halves of pairs."""

    image: Tensor
    """(B, Z)."""
    text: Tensor
    """(B, Z)."""


class JointGANLosses(NamedTuple):
    """Scalars of one batch."""

    total: Tensor
    """Critic's and generators' loss together; each has gradients for its own part only."""
    critic: Tensor
    """Cross-entropy of the five classes, nats."""
    generator: Tensor
    """Cross-entropy of generated pairs against the class of real ones, nats."""
    penalty: Tensor
    """Squared norm of the critic's gradient at real pairs."""
    told_apart: Tensor
    """Share of pairs whose class the critic names."""


class JointGAN(nn.Module):
    """Four generators and the critic; `loss` trains all at once, with one optimiser."""

    def __init__(self, config: JointGANConfig) -> None:
        super().__init__()
        self.config = config
        size, noise, width = config.joint_size, config.noise_size, config.width
        self.image_generator = _perceptron(noise, width, size)
        self.text_generator = _perceptron(noise, width, size)
        self.text_given_image = _perceptron(size + noise, width, size)
        self.image_given_text = _perceptron(size + noise, width, size)
        self.critic = _perceptron(2 * size, width, REAL + 1)
        self.means: Tensor
        self.deviations: Tensor
        self.register_buffer("means", torch.zeros(2, size))
        self.register_buffer("deviations", torch.ones(2, size))

    def standardise_by(self, pairs: LatentPairs) -> None:
        """Let each number of the latents have mean 0 and deviation 1 over `pairs` inside the GAN."""
        latents = torch.stack(pairs)
        self.means.copy_(latents.mean(1))
        self.deviations.copy_(latents.std(1).clamp(min=1e-6))

    def loss(self, batch: LatentPairs) -> JointGANLosses:
        """The critic's loss on pairs that do not learn, and the generators' on a critic that does not."""
        batch = LatentPairs(*((torch.stack(batch) - self.means[:, None]) / self.deviations[:, None]))
        fakes = torch.cat(self._generate(batch))
        classes = torch.arange(REAL + 1, device=fakes.device).repeat_interleave(len(batch.image))
        real = torch.cat(batch, 1).requires_grad_()
        # Apart: the penalty is differentiated twice, and of real pairs alone.
        of_real = self.critic(real).float()
        logits = torch.cat([self.critic(fakes.detach()).float(), of_real])
        critic = F.cross_entropy(logits, classes)
        (slope,) = torch.autograd.grad(of_real[:, REAL].sum(), real, create_graph=True)
        penalty = slope.float().square().sum(1).mean()
        frozen = {name: parameter.detach() for name, parameter in self.critic.named_parameters()}
        seen = functional_call(self.critic, frozen, (fakes,)).float()
        generator = F.cross_entropy(seen, torch.full_like(classes[: len(fakes)], REAL))
        return JointGANLosses(
            critic + self.config.penalty_weight * penalty + generator,
            critic,
            generator,
            penalty,
            (logits.argmax(1) == classes).float().mean(),
        )

    def summarise(self, sums: JointGANLosses, num_steps: int) -> dict[str, float]:
        """Figures for the log from losses summed over `num_steps` steps."""
        return {name: float(value) / num_steps for name, value in sums._asdict().items()}

    @torch.no_grad()
    def sample(self, noise: Tensor) -> LatentPairs:
        """Pairs of p3 from `noise` (B, 2 N), standard normal; call in eval mode."""
        first, second = noise.split(self.config.noise_size, dim=1)
        image = self.image_generator(first)
        text = self.text_given_image(torch.cat([image, second], 1))
        return LatentPairs(*(torch.stack([image, text]) * self.deviations[:, None] + self.means[:, None]))

    def _generate(self, real: LatentPairs) -> list[Tensor]:
        """Pairs (B, 2 Z) of p1 to p4."""
        image, text = (
            self.image_generator(self._noise(real.image)),
            self.text_generator(self._noise(real.text)),
        )
        pairs = [
            (real.image, self._conditional(self.text_given_image, real.image)),
            (self._conditional(self.image_given_text, real.text), real.text),
            (image, self._conditional(self.text_given_image, image)),
            (self._conditional(self.image_given_text, text), text),
        ]
        return [torch.cat(pair, 1) for pair in pairs]

    def _conditional(self, generator: nn.Module, given: Tensor) -> Tensor:
        return generator(torch.cat([given, self._noise(given)], 1))

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.config.noise_size, device=like.device)


def _perceptron(num_inputs: int, width: int, num_outputs: int) -> nn.Sequential:
    """Three layers."""
    layers = [nn.Linear(num_inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))
