"""Models that answer on this machine, loaded and asked: text alone, or text below pictures.

Safetensors only, no code from outside, greedy, thinking switched off where a template knows how.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    ProcessorMixin,
    Qwen3VLProcessor,
)
from transformers.utils import is_torchvision_available

from mllmrec.asking import Request, spoken
from mllmrec.backbone.loading import check_whole, device, dtype_of, first_line, load_tokenizer
from mllmrec.backbone.pretrained import Pretrained
from mllmrec.errors import Refusal
from mllmrec.local.answers import Answer
from mllmrec.local.refusals import blind, typed_as
from mllmrec.pictures import BadPicture, opened

if TYPE_CHECKING:
    from mllmrec.local.options import Local


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model on its device, and what makes its inputs: a processor where it sees pictures.

    ``ends`` are the tokens that end an answer, ``limit`` the tokens that the model takes in all.
    """

    model: Any
    tokenizer: Any
    processor: Any | None
    ends: frozenset[int]
    limit: int | None
    picture_size: int

    def answers(self, requests: Sequence[Request], room: int) -> list[Answer]:
        """An answer a request, in their order, of at most ``room`` tokens.

        Whether others are in the batch changes nothing but the rounding of sums.
        """
        messages, broken = self.messages(requests)
        found = {place: Answer(why=why) for place, why in broken.items()}
        while messages:
            inputs = self.inputs([*messages.values()])
            long = self.too_long(dict(zip(messages, lengths(inputs), strict=True)), room)
            if not long:
                found.update(zip(messages, self.written(inputs, room), strict=True))
                break
            found.update(long)
            messages = {place: said for place, said in messages.items() if place not in long}
        return [found[place] for place in range(len(requests))]

    def too_long(self, lengths: dict[int, int], room: int) -> dict[int, Answer]:
        """Those that the model has no room for, by their place."""
        most = self.limit
        why = f"tokens and {room} for the answer are more than the {most} that the model takes"
        return {
            place: Answer(why=f"{length} {why}", tokens_in=length)
            for place, length in lengths.items()
            if most is not None and length + room > most
        }

    def messages(self, requests: Sequence[Request]) -> tuple[dict[int, Any], dict[int, str]]:
        """What each request says to the model, and of some why it cannot be said."""
        messages: dict[int, Any] = {}
        broken: dict[int, str] = {}
        for place, request in enumerate(requests):
            try:
                pictures = [opened(path, self.picture_size) for path in request.pictures]
            except BadPicture as error:
                broken[place] = str(error)
                continue
            parts = [{"type": "image", "image": picture} for picture in pictures]
            said: Any = [*parts, {"type": "text", "text": request.text}]
            content = said if self.processor is not None else request.text
            messages[place] = [{"role": "user", "content": content}]
        return messages, broken

    def inputs(self, messages: list[Any]) -> Any:
        """A batch by the model's own template, padded on the left."""
        maker: Any = self.tokenizer if self.processor is None else self.processor
        padding: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        if self.processor is not None:
            padding = {"processor_kwargs": padding}
        made = maker.apply_chat_template(
            messages,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            enable_thinking=False,  # a variable of the template, for those that know it
            **padding,
        )
        made.pop("token_type_ids", None)
        if self.processor is None:
            return made.to(self.model.device)
        return made.to(self.model.device, self.model.dtype)  # of pixels; ids stay integers

    @torch.inference_mode()
    def written(self, inputs: Any, room: int) -> list[Answer]:
        width = inputs["input_ids"].shape[1]
        rows = self.model.generate(**inputs, max_new_tokens=room)[:, width:].tolist()
        return [self.read(row, length) for row, length in zip(rows, lengths(inputs), strict=True)]

    def read(self, row: list[int], tokens_in: int) -> Answer:
        """An answer of its tokens, up to the one that ends it."""
        end = next((at for at, token in enumerate(row) if token in self.ends), None)
        text = self.tokenizer.decode(
            row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        said = spoken(text)
        return Answer(
            text=said or "",
            is_cut=end is None or said is None,
            tokens_in=tokens_in,
            tokens_out=len(row) if end is None else end + 1,
        )


def lengths(inputs: Any) -> list[int]:
    """Tokens of each row of a batch, without its padding."""
    found: list[int] = inputs["attention_mask"].sum(dim=1).tolist()
    return found


class ImageOnlyQwen3VL(Qwen3VLProcessor):
    """Qwen3-VL's processor without its part for videos, which cannot be had without torchvision.

    What a processor is made of is read from the signature of this ``__init__``.
    """

    def __init__(
        self, image_processor: Any, tokenizer: Any, chat_template: str | None = None, **_: Any
    ) -> None:
        marks = {
            "image": "<|image_pad|>",
            "video": "<|video_pad|>",
            "vision_start": "<|vision_start|>",
            "vision_end": "<|vision_end|>",
        }
        for name, token in marks.items():
            setattr(self, f"{name}_token", token)
            setattr(self, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def load(local: "Local", *, needs_eyes: bool) -> Loaded:
    """The model of these knobs on its device, ready to be asked.

    Raises:
        Refusal: there is none, it cannot be loaded, or it should see pictures and cannot.
    """
    backbone = Pretrained(
        path=local.name,
        revision=local.revision,
        hub="huggingface",
        dtype=local.dtype,
        lora_targets="all-linear",
    )
    with typed_as(local.knob):
        folder = backbone.fetch()
        config = config_of(folder)
        has_eyes = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        if needs_eyes and not has_eyes:
            raise blind(local.path)
        processor = load_processor(folder, config) if has_eyes else None
        tokenizer = processor.tokenizer if processor is not None else load_tokenizer(folder)
        model = weights(folder, dtype_of(backbone), has_eyes=has_eyes)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        ends=held_greedy(model, tokenizer),
        limit=getattr(config.get_text_config(), "max_position_embeddings", None),
        picture_size=local.picture_size,
    )


def unloadable(folder: Path, what: str, error: Exception) -> Refusal:
    return Refusal(
        f"{folder}: its {what} cannot be loaded ({first_line(error)})",
        allowed="a whole folder as transformers' save_pretrained writes it, with *.safetensors",
        do="type backbone.path=DIR with a whole folder",
    )


def config_of(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise unloadable(folder, "config.json", error) from error


def load_processor(folder: Path, config: Any) -> Any:
    """What makes a model's inputs from text and pictures, padding on the left."""
    is_lacking = config.model_type.startswith("qwen3_vl") and not is_torchvision_available()
    kind: Any = ImageOnlyQwen3VL if is_lacking else AutoProcessor
    try:
        processor = kind.from_pretrained(folder, trust_remote_code=False)
        tokenizer = processor.tokenizer
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise unloadable(folder, "processor of pictures", error) from error
    processor.chat_template = processor.chat_template or tokenizer.chat_template
    if not processor.chat_template:
        raise unloadable(folder, "processor", ValueError("it has no chat template"))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "left"
    return processor


def weights(folder: Path, dtype: torch.dtype, *, has_eyes: bool) -> Any:
    """The model itself, whole, on the device."""
    kind: Any = AutoModelForImageTextToText if has_eyes else AutoModelForCausalLM
    try:
        model, said = kind.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise unloadable(folder, "model", error) from error
    except Exception as error:  # safetensors raises a kind of its own
        if type(error).__name__ != "SafetensorError":
            raise
        raise unloadable(folder, "model", error) from error
    check_whole(folder, said)
    return model.to(device()).eval()


def held_greedy(model: Any, tokenizer: Any) -> frozenset[int]:
    """Leave a model nothing to draw or to penalise; the tokens that end an answer.

    Its authors' settings, which would fill in whatever a call leaves open, are replaced as a whole.
    """
    told = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])} - {None}
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        use_cache=True,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
    )
    return frozenset(ends)
