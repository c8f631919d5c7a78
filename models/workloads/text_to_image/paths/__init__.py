"""How a denoiser of few steps learns where its teacher's paths end."""
