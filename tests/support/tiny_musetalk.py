"""MuseTalk's three networks with a few thousand weights, in files shaped like the real ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vidgen.renderers.musetalk.networks import RENAMED, NetworkFiles

UNET: Final[dict[str, Any]] = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0.dev0",
    "act_fn": "silu",
    "attention_head_dim": 2,
    "block_out_channels": [8, 8, 16, 16],
    "center_input_sample": False,
    "cross_attention_dim": 16,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 8,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 4,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
VAE: Final[dict[str, Any]] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 256,
    "scaling_factor": 0.18215,
}
WHISPER: Final[dict[str, Any]] = {
    "d_model": 16,
    "encoder_layers": 4,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
}


def tiny_files(folder: Path) -> NetworkFiles:
    """Write all four files, tiny."""
    return write_files(folder, UNET, VAE, WHISPER)


def write_files(
    folder: Path, unet: Mapping[str, Any], vae: Mapping[str, Any], whisper: Mapping[str, Any]
) -> NetworkFiles:
    """Write the files of networks of these shapes; every weight is random, and always the same."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(7)
    config = folder / "musetalk.json"
    config.write_text(json.dumps(dict(unet)), "utf-8")
    made = UNet2DConditionModel(**{k: v for k, v in unet.items() if not k.startswith("_")})
    torch.save(made.state_dict(), folder / "unet.pth")
    state = AutoencoderKL(**vae).state_dict()
    save_file({_old(name): value for name, value in state.items()}, folder / "vae.safetensors")
    encoder = WhisperEncoder(WhisperConfig(**whisper)).state_dict()
    tensors = {f"model.encoder.{name}": value.clone() for name, value in encoder.items()}
    tensors["model.decoder.layer_norm.weight"] = torch.ones(16)  # the real file has a decoder, too
    save_file(tensors, folder / "whisper.safetensors")
    return NetworkFiles(
        unet=folder / "unet.pth",
        unet_config=config,
        vae=folder / "vae.safetensors",
        whisper=folder / "whisper.safetensors",
        vae_params=vae,
        whisper_params=whisper,
    )


def _old(name: str) -> str:
    """The VAE's attention as its file names it."""
    if "attentions" in name:
        for old, new in RENAMED.items():
            name = name.replace(new, old)
    return name
