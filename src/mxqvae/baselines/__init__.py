"""Baselines that share no code sequence with MXQ-VAE: Joint GAN + MMVAE of Table 3, as we reconstruct it."""
