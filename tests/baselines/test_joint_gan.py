import math

import pytest
import torch

from mxqvae.baselines.joint_gan import JointGAN, JointGANConfig, JointGANLosses, LatentPairs


@pytest.fixture
def gan() -> JointGAN:
    torch.manual_seed(0)
    return JointGAN(JointGANConfig(joint_size=3, noise_size=4, width=32))


def some_pairs(num: int = 64) -> LatentPairs:
    torch.manual_seed(1)
    image = torch.randn(num, 3) * 5 + 2
    return LatentPairs(image, image * 2 + torch.randn(num, 3) * 0.1)


def test_pairs_come_from_their_noise_alone(gan: JointGAN):
    noise = torch.randn(6, 8)
    pairs, fewer = gan.sample(noise), gan.sample(noise[:2])
    assert pairs.image.shape == pairs.text.shape == (6, 3)
    torch.testing.assert_close(fewer.image, pairs.image[:2])
    torch.testing.assert_close(fewer.text, pairs.text[:2])


def test_the_text_is_generated_for_the_image(gan: JointGAN):
    noise = torch.randn(1, 8)
    other = noise.clone()
    other[:, :4] += 1
    assert not gan.sample(noise).text.equal(gan.sample(other).text)
    other = noise.clone()
    other[:, 4:] += 1
    assert gan.sample(noise).image.equal(gan.sample(other).image)


def test_latents_are_standardised_inside_and_whole_outside(gan: JointGAN):
    pairs = some_pairs()
    noise = torch.randn(5, 8)
    before = gan.sample(noise)
    gan.standardise_by(pairs)
    after = gan.sample(noise)
    torch.testing.assert_close(after.image, before.image * pairs.image.std(0) + pairs.image.mean(0))
    torch.testing.assert_close(after.text, before.text * pairs.text.std(0) + pairs.text.mean(0))


def test_an_untrained_critic_tells_nothing_apart(gan: JointGAN):
    for parameter in gan.critic[-1].parameters():
        torch.nn.init.zeros_(parameter)
    losses = gan.loss(some_pairs())
    assert losses.critic.item() == pytest.approx(math.log(5))
    assert losses.generator.item() == pytest.approx(math.log(5))
    assert losses.penalty.item() == 0


def test_each_loss_trains_its_own_part(gan: JointGAN):
    def gradients(loss: str) -> dict[str, bool]:
        gan.zero_grad()
        getattr(gan.loss(some_pairs()), loss).backward()
        return {
            name: any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
            for name, part in gan.named_children()
        }

    generators = ["image_generator", "text_generator", "text_given_image", "image_given_text"]
    assert gradients("critic") == dict.fromkeys(generators, False) | {"critic": True}
    assert gradients("penalty") == dict.fromkeys(generators, False) | {"critic": True}
    assert gradients("generator") == dict.fromkeys(generators, True) | {"critic": False}


def test_it_learns_which_latents_belong_together():
    """One number each: of several, some are found or not as the seed has it."""
    torch.manual_seed(0)
    gan = JointGAN(JointGANConfig(joint_size=1, noise_size=4, width=64))
    pairs = LatentPairs(*(half[:, :1] for half in some_pairs(512)))
    gan.standardise_by(pairs)
    optimizer = torch.optim.AdamW(gan.parameters(), lr=1e-3, betas=(0.5, 0.99))
    for _ in range(800):
        rows = torch.randint(0, 512, (128,))
        losses = gan.loss(LatentPairs(pairs.image[rows], pairs.text[rows]))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    drawn = gan.sample(torch.randn(512, 8))
    assert float(torch.corrcoef(torch.cat(drawn, 1).T)[0, 1]) > 0.8
    figures = gan.summarise(JointGANLosses(*(value.detach() for value in losses)), 1)
    assert list(figures) == ["total", "critic", "generator", "penalty", "told_apart"]
