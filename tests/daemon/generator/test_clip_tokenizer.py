"""CLIP's tokenizer built from the merges that ship with us: its numbers are the published ones."""

from __future__ import annotations

from daemon.generator.clip_tokenizer import clip_tokenizer


def test_known_texts_have_their_known_tokens() -> None:
    """Start, words, end; the numbers that every CLIP has for them."""
    tokenizer = clip_tokenizer()
    assert len(tokenizer) == 49_408
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("A Photo  of a CAT").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("hello world!", add_special_tokens=False).input_ids == [3306, 1002, 256]
    assert tokenizer("", add_special_tokens=False).input_ids == []


def test_it_pads_to_77_with_its_end_or_with_zeros() -> None:
    """CLIP ViT-L pads with the end token, OpenCLIP with number 0; nothing else differs."""
    for pad, number in (("<|endoftext|>", 49407), ("!", 0)):
        ids = clip_tokenizer(pad)("cat", padding="max_length").input_ids
        assert ids == [49406, 2368, 49407] + [number] * 74


def test_what_is_no_ascii_is_written_in_bytes() -> None:
    """Any text has tokens, and they give it back."""
    tokenizer = clip_tokenizer()
    for text in ("#ff69b4", "日本 ☃", "naïve"):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")
