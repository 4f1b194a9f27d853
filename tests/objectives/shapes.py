"""Model shapes for the tests: one small enough for pencil and paper, and LLaVA-1.5-7B."""

from spaces.shape import ModelShape, VisionShape

TINY = ModelShape(
    num_blocks=2,
    hidden_size=8,
    num_heads=2,
    num_kv_heads=1,
    head_size=3,
    ffn_size=10,
    gated_ffn=True,
    vocab_size=7,
    vision=VisionShape(
        num_layers=2, hidden_size=4, num_heads=2, ffn_size=6, num_channels=3, image_size=5, patch_size=2
    ),
    projector=((4, 8), (8, 8)),
    visual_tokens_per_image=4,
    bytes_per_parameter=2,
)

LLAVA_7B = ModelShape(
    num_blocks=32,
    hidden_size=4096,
    num_heads=32,
    num_kv_heads=32,
    head_size=128,
    ffn_size=11008,
    gated_ffn=True,
    vocab_size=32064,
    vision=VisionShape(
        num_layers=24,
        hidden_size=1024,
        num_heads=16,
        ffn_size=4096,
        num_channels=3,
        image_size=336,
        patch_size=14,
    ),
    projector=((1024, 4096), (4096, 4096)),
    visual_tokens_per_image=576,
    bytes_per_parameter=2,
)
