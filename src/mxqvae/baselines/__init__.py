"""Baselines that share no code sequence with MXQ-VAE: JointGAN + MMVAE of Table 3, as we reconstruct it."""
