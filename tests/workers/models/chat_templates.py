"""Chat templates of the kinds that model repositories ship: the marks and spaces of each, without tools and videos."""

from __future__ import annotations


def _turns(open_turn: str, image: str, text: str, close_turn: str, prompt: str, begin: str = "") -> str:
    """Jinja: every message as `open_turn`, its parts, `close_turn`."""
    return (
        f"{begin}{{% for m in messages %}}{open_turn}{{% for part in m['content'] %}}"
        f"{{% if part['type'] == 'image' %}}{image}{{% else %}}{text}{{% endif %}}{{% endfor %}}{close_turn}"
        f"{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


TEXT = "{{ part['text'] }}"
VICUNA = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}"
    "{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' }}{% for part in m['content'] %}"
    "{{ '<image>\n' if part['type'] == 'image' else part['text'] }}{% endfor %}{{ ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'][0]['text'] + '<\\\\s>' }}{% endif %}{% endfor %}"
)
ONEVISION = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' }}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else '\n' + part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
IDEFICS = _turns(
    "{{ m['role'] | capitalize }}{{ ':' if m['content'][0]['type'] == 'image' else ': ' }}",
    "<image>",
    TEXT,
    "<end_of_utterance>\n",
    "Assistant:",
)
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{%- for part in m['content'] %}{{- '<|image|>' if part['type'] == 'image' else part['text'] }}{%- endfor %}"
    "{{- '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def _chatml(image: str) -> str:
    return (
        "{% for m in messages %}{% if loop.first %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['content'] is string %}{{ m['content'] }}{% else %}"
        "{% for part in m['content'] %}"
        f"{{{{ '{image}' if part['type'] == 'image' else part['text'] }}}}{{% endfor %}}"
        "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


GEMMA = (
    "<bos>{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}"
    "{% for part in m['content'] %}"
    "{{ '<start_of_image>' if part['type'] == 'image' else part['text'] | trim }}{% endfor %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
CHAT = ("<|im_start|>", "<|im_end|>")
QWEN = _chatml("<|vision_start|><|image_pad|><|vision_end|>")
REAL: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "llava": (VICUNA, (), [" B", "</s>"]),
    "llava_next": (MISTRAL, (), [" B", "</s>"]),
    "llava_onevision": (ONEVISION, CHAT, ["B", "<|im_end|>"]),
    "qwen2_vl": (QWEN, CHAT, ["B", "<|im_end|>"]),
    "qwen2_5_vl": (QWEN, CHAT, ["B", "<|im_end|>"]),
    "qwen3_vl": (QWEN, CHAT, ["B", "<|im_end|>"]),
    "qwen3_vl_moe": (QWEN, CHAT, ["B", "<|im_end|>"]),
    "idefics3": (IDEFICS, (), [" B", "<end_of_utterance>"]),
    "smolvlm": ("<|im_start|>" + IDEFICS, CHAT, [" B", "<end_of_utterance>"]),
    "gemma3": (GEMMA, ("<start_of_turn>", "<end_of_turn>", "<bos>"), ["B", "<end_of_turn>"]),
    "internvl": (_chatml("<IMG_CONTEXT>\n"), CHAT, ["B", "<|im_end|>"]),
    "mllama": (
        LLAMA3,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        ["B", "<|eot_id|>"],
    ),
    "paligemma": ("", (), ["B", "</s>"]),
    "blip-2": ("", (), [" B", "</s>"]),
    "instructblip": ("", (), [" B", "</s>"]),
}
"""Family -> template of its repositories, its special tokens beside the image's, and how the answer "B" follows."""
