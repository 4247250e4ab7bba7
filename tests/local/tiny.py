"""Models of a few thousand weights, made on the spot: one of text, and two that see pictures."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessorPil,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from mllmrec.local.models import ImageOnlyQwen3VL
from mllmrec.local.options import Local

KNOBS = {
    "path": None,
    "revision": None,
    "dtype": "auto",
    "batch_size": 4,
    "max_new_tokens": 6,
    "retry_tokens": 12,
    "picture_size": 64,
}
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
EYES = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<image>"]
CHAT = """{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string %}{{- message['content'] }}{%- else %}
{%- for part in message['content'] %}
{%- if part['type'] == 'image' %}{{- 'SHOWN' }}{%- else %}{{- part['text'] }}{%- endif %}
{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
}


def tokenizer(shown="<|vision_start|><|image_pad|><|vision_end|>"):
    """A token a byte, and the marks of a chat."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytewise.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", *EYES],
        model_input_names=["input_ids", "attention_mask"],
    )
    made.add_tokens(MARKS[3:])  # thoughts are no special tokens: they are decoded
    made.chat_template = CHAT.replace("SHOWN", shown)
    return made


def numbers(made):
    return {
        "vocab_size": len(made),
        "eos_token_id": made.eos_token_id,
        "pad_token_id": made.pad_token_id,
    }


def sharpened(model):
    """Far from flat, so that a wrong mask or position cannot hide."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return model.eval()


def write_text_model(folder):
    made = tokenizer()
    torch.manual_seed(0)
    sharpened(Qwen3ForCausalLM(Qwen3Config(**TEXT, **numbers(made)))).save_pretrained(folder)
    made.save_pretrained(folder)


def write_qwen3_vl(folder):
    made = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2]}
    ids = {
        f"{name}_token_id": made.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in [
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        ]
    }
    config = Qwen3VLConfig(
        text_config={**TEXT, **numbers(made), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **ids,
    )
    torch.manual_seed(0)
    sharpened(Qwen3VLForConditionalGeneration(config)).save_pretrained(folder)
    size = {"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    eyes = Qwen2VLImageProcessorPil(patch_size=16, temporal_patch_size=2, merge_size=2, size=size)
    ImageOnlyQwen3VL(eyes, made, chat_template=made.chat_template).save_pretrained(folder)


def write_llava(folder):
    made = tokenizer(shown="<image>")
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    config = LlavaConfig(
        text_config=Qwen3Config(**TEXT, **numbers(made)),
        vision_config=vision,
        image_token_index=made.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    sharpened(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side),
        made,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=made.chat_template,
    ).save_pretrained(folder)


def local(folder=None, **knobs):
    return Local.model_validate({**KNOBS, "path": folder and str(folder), **knobs})
