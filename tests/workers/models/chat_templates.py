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
VIPLLAVA = (
    "A chat between a curious human and an assistant.{% for m in messages %}"
    "{{ '###' + ('Human' if m['role'] == 'user' else 'Assistant') + ': ' }}"
    "{% for part in m['content'] %}{{ '<image>\\n' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)
DEEPSEEK = (
    "You are a helpful assistant.\n\n{% for m in messages %}{{ 'User: ' if m['role'] == 'user' else 'Assistant: ' }}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '\n\n' if m['role'] == 'user' else eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
JANUS = ("<|User|>", "<|Assistant|>")
COHERE = (
    "{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}{% if m['role'] == 'user' %}{{ '<|USER_TOKEN|>' }}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% else %}{{ '<|CHATBOT_TOKEN|><|START_RESPONSE|>' + m['content'][0]['text'] + '<|END_RESPONSE|>' }}{% endif %}"
    "{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>' }}{% endif %}"
)
COHERE_MARKS = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
COHERE_MARKS += ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
GRANITE = _turns(
    "{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' }}",
    "<image>",
    TEXT,
    "<|end_of_text|>\n",
    "<|start_of_role|>assistant<|end_of_role|>",
)
GRANITE_MARKS = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")
GLM = _turns(
    "{{ '<|' + m['role'] + '|>\n' }}",
    "<|begin_of_image|><|image|><|end_of_image|>",
    TEXT,
    "",
    "{{ '<|assistant|>\n' }}",
    "[gMASK]<sop>",
)
GLM_MARKS = ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>")
PADDLE = (
    "{% for m in messages %}{{ 'User: ' if m['role'] == 'user' else 'Assistant:\n' }}{% for part in m['content'] %}"
    "{{ '<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{{ '\n' if m['role'] == 'user' else eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
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
    "vipllava": (VIPLLAVA, (), [" B", "</s>"]),
    "got_ocr2": ("", (), ["B", "<|im_end|>"]),
    "aya_vision": (COHERE, COHERE_MARKS, ["B", "<|END_RESPONSE|>"]),
    "deepseek_vl": (DEEPSEEK, (), [" B", "</s>"]),
    "deepseek_vl_hybrid": (DEEPSEEK, (), [" B", "</s>"]),
    "janus": (DEEPSEEK.replace("User: ", "<|User|>: ").replace("Assistant:", "<|Assistant|>:"), JANUS, [" B", "</s>"]),
    "aria": (_chatml("<fim_prefix><image><fim_suffix>"), (*CHAT, "<fim_prefix>", "<fim_suffix>"), ["B", "<|im_end|>"]),
    "idefics2": (IDEFICS, (), [" B", "<end_of_utterance>"]),
    "ovis2": (_chatml("<image>\n"), CHAT, ["B", "<|im_end|>"]),
    "lighton_ocr": (_chatml("<|image_pad|>"), CHAT, ["B", "<|im_end|>"]),
    "llava_next_video": (VICUNA, (), [" B", "</s>"]),
    "video_llava": (VICUNA, (), [" B", "</s>"]),
    "granite_docling": (GRANITE, GRANITE_MARKS, ["B", "<|end_of_text|>"]),
    "granite4_vision": (GRANITE, GRANITE_MARKS, ["B", "<|end_of_text|>"]),
    "qianfan_ocr": (_chatml("<image>\n"), CHAT, ["B", "<|im_end|>"]),
    **dict.fromkeys(("glm4v", "glm46v", "glm_ocr", "glm4v_moe"), (GLM, GLM_MARKS, ["B", "</s>"])),
    "paddleocr_vl": (PADDLE, (), ["B", "</s>"]),
    "video_llama_3": (_chatml("<|image_pad|>\n"), CHAT, ["B", "<|im_end|>"]),
}
"""Family -> template of its repositories, its special tokens beside the image's, and how the answer "B" follows."""
