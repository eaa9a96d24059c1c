"""Small models with random weights, in folders as the hub has them."""

from fuserec.encoders.weights import quiet_transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VISION = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PICTURES = {"size": {"height": 32, "width": 32}}


def save(folder, model, *parts):
    """A network (made with seed 0) and its tokenizer, picture or sound settings → the folder."""
    import torch

    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        model().save_pretrained(folder)
        for part in parts:
            part.save_pretrained(folder)
    return str(folder)


def tokenizer(first="[CLS]", last="[SEP]", **options):
    """A tokenizer of words and letters, with one mark before and one after every text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = ["passage", "query", ":", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {token: number for number, token in enumerate([*marks, *words])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    around = " ".join(part for part in (first, "$A", last) if part)
    if first or last:
        special = [(mark, vocabulary[mark]) for mark in (first, last) if mark]
        backend.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", eos_token="[SEP]", **options
    )


def bert(folder, **options):
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=64, max_position_embeddings=40, **VISION)
    return save(folder, lambda: BertModel(config), tokenizer(**options))


def roberta(folder):
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(vocab_size=64, max_position_embeddings=14, pad_token_id=1, **VISION)
    return save(folder, lambda: RobertaModel(config), tokenizer())


def qwen(folder):
    from transformers import Qwen2Config, Qwen2Model

    config = Qwen2Config(vocab_size=64, num_key_value_heads=2, max_position_embeddings=64, **VISION)
    return save(folder, lambda: Qwen2Model(config), tokenizer(first="", last="", model_max_length=24))


def t5(folder):
    from transformers import T5Config, T5Model

    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return save(folder, lambda: T5Model(config), tokenizer(first="", model_max_length=24))


def resnet(folder):
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return save(folder, lambda: ResNetModel(config), ConvNextImageProcessorPil(size={"shortest_edge": 32}))


def convnext(folder):
    from transformers import ConvNextConfig, ConvNextImageProcessorPil, ConvNextModel

    config = ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
    return save(folder, lambda: ConvNextModel(config), ConvNextImageProcessorPil(size={"shortest_edge": 48}))


def vit(folder):
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(image_size=32, patch_size=8, **VISION)
    return save(folder, lambda: ViTModel(config), ViTImageProcessorPil(**PICTURES))


def vit_without_pooler(folder):
    """As the checkpoints of classifiers are: the pooler of `ViTModel` is not among the weights."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    config = ViTConfig(image_size=32, patch_size=8, **VISION)
    return save(folder, lambda: ViTForImageClassification(config), ViTImageProcessorPil(**PICTURES))


def dinov2(folder):
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    config = Dinov2Config(image_size=28, patch_size=14, mlp_ratio=2, **VISION)
    pictures = BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28})
    return save(folder, lambda: Dinov2Model(config), pictures)


def clip(folder):
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    text = {**VISION, "vocab_size": 64, "max_position_embeddings": 12, "eos_token_id": 3, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**VISION, "image_size": 32, "patch_size": 8}, projection_dim=8)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return save(folder, lambda: CLIPModel(config), tokenizer(), pictures)


def siglip2(folder):
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model

    text = {**VISION, "vocab_size": 64, "max_position_embeddings": 12, "projection_size": 16}
    config = Siglip2Config(text_config=text, vision_config={**VISION, "num_patches": 16, "patch_size": 8})
    pictures = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return save(folder, lambda: Siglip2Model(config), tokenizer(first=""), pictures)


def clap(folder):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    text = {**VISION, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 0, "projection_dim": 8}
    sound = {
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_embeds_hidden_size": 8, "window_size": 4,
        "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 16, "projection_dim": 8,
        "enable_fusion": False, "aff_block_r": 2, "patch_stride": [4, 4],
    }  # fmt: skip
    config = ClapConfig(text_config=text, audio_config=sound, projection_dim=8)
    sounds = ClapFeatureExtractor(
        feature_size=16, sampling_rate=8_000, max_length_s=1, hop_length=80, fft_window_size=256, frequency_max=4_000,
        truncation="rand_trunc",
    )  # fmt: skip
    return save(folder, lambda: ClapModel(config), tokenizer(), sounds)


def wav2vec2(folder):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, vocab_size=8, **VISION
    )
    return save(folder, lambda: Wav2Vec2Model(config), Wav2Vec2FeatureExtractor())


def whisper(folder):
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=50, num_mel_bins=16,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2,
    )  # fmt: skip
    return save(folder, lambda: WhisperModel(config), WhisperFeatureExtractor(feature_size=16, chunk_length=1))
