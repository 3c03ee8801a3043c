"""KerasHub's tasks as students and teachers: trained, saved and exported in the task's own way."""

import keras
import numpy as np
import pytest

import keras_kd

keras_hub = pytest.importorskip("keras_hub", reason="needs keras-hub: the extra 'hub'")
pytestmark = pytest.mark.tensorflow
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def text_classifier(width, length=8):
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    return keras_hub.models.BertTextClassifier(
        backbone=keras_hub.models.BertBackbone(
            vocabulary_size=len(WORDS),
            num_layers=1,
            num_heads=2,
            hidden_dim=width,
            intermediate_dim=width,
            dropout=0.0,
            max_sequence_length=8,
        ),
        preprocessor=keras_hub.models.BertTextClassifierPreprocessor(
            tokenizer, sequence_length=length
        ),
        num_classes=2,
        dropout=0.0,
    )


def language_model(width):
    words = sorted(set("abcdefghijklmnopqrstuvwxyzĠ") | {"Ġt", "he", "Ġthe", "<|endoftext|>"})
    tokenizer = keras_hub.models.GPT2Tokenizer(
        vocabulary={word: i for i, word in enumerate(words)}, merges=["Ġ t", "h e", "Ġt he"]
    )
    return keras_hub.models.GPT2CausalLM(
        backbone=keras_hub.models.GPT2Backbone(
            vocabulary_size=len(words),
            num_layers=1,
            num_heads=2,
            hidden_dim=width,
            intermediate_dim=width,
            dropout=0.0,
            max_sequence_length=8,
        ),
        preprocessor=keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=8),
    )


def compiled(student, teacher, **heads):
    distiller = keras_kd.Distiller(student=student, teacher=teacher, **heads)
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, alpha=0.1, temperature=4.0)
    return distiller


def tokens(task, x):
    made = keras.utils.unpack_x_y_sample_weight(task.preprocessor(x))
    return [keras.tree.map_structure(np.asarray, part) for part in made]


@pytest.fixture
def reviews():
    return ["good film", "bad film", "film", "good bad"], np.array([1, 0, 0, 1])


# The task's own, of any file that holds one.
@pytest.mark.filterwarnings(r"ignore:`compile\(\)` was not called as part of model loading")
def test_strings(reviews, soft_targets, tmp_path):
    x, y = reviews
    # The teacher tokenizes to another length.
    student, teacher = text_classifier(4), text_classifier(8, length=6)
    for task in (student, teacher):  # far enough from each other
        task.layers[-1].set_weights([100.0 * weight for weight in task.layers[-1].get_weights()])
    z, t = (np.asarray(task(tokens(task, x)[0])) for task in (student, teacher))
    expected = soft_targets(t, z, 4.0).mean()
    distiller = compiled(student, teacher)
    for given in (x, np.array(x), np.array(x, object)):
        logs = distiller.fit(given, y, verbose=0).history
        np.testing.assert_allclose(logs["soft_targets"], [expected], rtol=1e-3)
        np.testing.assert_allclose(distiller.predict(given, verbose=0), z, rtol=1e-3)
    student.compile(loss=CROSS_ENTROPY)
    hard = student.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(distiller.evaluate(x, y, verbose=0), hard, rtol=1e-4)
    soft = keras_kd.SoftLabels.write(
        None, teacher=teacher, data=np.array(x), dtype="float32", verbose=0
    )
    np.testing.assert_allclose(soft.arrays()["output"], t, rtol=1e-3)
    with pytest.raises(ValueError, match=r"must be raw data.*preprocessor = None"):
        distiller.fit(tokens(student, x)[0], y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    again = keras.models.load_model(tmp_path / "distiller.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), z, rtol=1e-3)


def test_language_models_bring_their_labels_and_weights(soft_targets):
    x = ["the fox", "a fox", "the"]
    student, teacher = language_model(4), language_model(8)
    inputs, _, weights = tokens(student, x)
    z, t = np.asarray(student(inputs)), np.asarray(teacher(inputs))
    heads = {"student_head": "logits", "teacher_head": "logits"}
    logs = compiled(student, teacher, **heads).fit(x, verbose=0).history
    soft = (soft_targets(t, z, 4.0) * weights).sum() / weights.size
    np.testing.assert_allclose(logs["soft_targets"], [soft], rtol=1e-2)  # logits of 0.01
    student.compile(loss=CROSS_ENTROPY)
    hard = student.evaluate(x, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(logs["hard_loss"], [hard], rtol=1e-4)


def test_images_are_scaled():
    models = keras_hub.models

    def task(width):
        backbone = models.ViTBackbone(
            image_shape=(8, 8, 3),
            patch_size=(4, 4),
            num_layers=1,
            num_heads=2,
            hidden_dim=width,
            mlp_dim=width,
        )
        converter = keras_hub.layers.ViTImageConverter(image_size=(8, 8), scale=1 / 255.0)
        return models.ViTImageClassifier(
            backbone=backbone,
            num_classes=3,
            preprocessor=models.ViTImageClassifierPreprocessor(converter),
        )

    x = np.random.default_rng(0).uniform(0, 255, (6, 12, 12, 3)).astype("float32")
    student, teacher = task(4), task(8)
    distiller = compiled(student, teacher)
    expected = student.predict(x, verbose=0)
    np.testing.assert_allclose(distiller.predict(x, verbose=0), expected, atol=1e-5)
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x, dtype="float32", verbose=0)
    expected = teacher.predict(x, verbose=0)
    np.testing.assert_allclose(soft.arrays()["output"], expected, atol=1e-4)
    online = distiller.fit(x, np.zeros(6), batch_size=6, verbose=0).history
    distiller.teacher = soft
    stored = distiller.fit(soft.dataset(x, np.zeros(6), batch_size=6), verbose=0).history
    np.testing.assert_allclose(online["soft_targets"], stored["soft_targets"], rtol=1e-3)


def test_exports_hold_no_tokenizer(tmp_path):
    task = language_model(4)
    x = tokens(task, ["the fox", "a fox"])[0]
    inputs = {name: keras.Input((8,), dtype="int32", name=name) for name in x}
    fixed = keras.Model(inputs, task(inputs))
    samples = {name: part.astype("int32") for name, part in x.items()}
    report = keras_kd.export.tflite(fixed, tmp_path / "lm.tflite", verify=samples)
    assert report.relative_error < 1e-4
    keras_kd.export.saved_model(fixed, tmp_path / "lm", verify=samples)
    assert not list((tmp_path / "lm" / "assets").glob("*"))
