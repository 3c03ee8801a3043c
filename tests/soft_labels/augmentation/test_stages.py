import functools
import json

import numpy as np
import pytest

from keras_kd.soft_labels import batched, color_jitter, compose, crop_flip, cutmix, mixing, mixup
from keras_kd.soft_labels.augmentation.draws import folded, seeds, uniform
from keras_kd.soft_labels.augmentation.stages import Augmentation

tensorflow = pytest.mark.tensorflow
ROWS = seeds(0, np.arange(6), 0)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 7, 3)).astype("uint8")


def brighter(image, seed, by=1.0):
    import tensorflow as tf

    return tf.cast(image, tf.float32) * by + uniform(seed, 0)


@batched
def brighter_batch(images, seeds, by=1.0):
    import tensorflow as tf

    return tf.cast(images, tf.float32) * by + uniform(seeds, 0)[:, None, None, None]


@mixing
def half(images, partners, seeds):
    import tensorflow as tf

    return (images + partners) / 2, tf.fill(tf.shape(seeds)[:1], 0.5)


def test_decorators_give_the_function_back():
    def function(images, seeds):
        return images

    assert batched(function) is function
    assert mixing(function) is function


@tensorflow
def test_nothing_to_do():
    augment = Augmentation.of(None)
    assert augment.apply(IMAGES, ROWS) is IMAGES
    assert not augment.mixes
    assert augment.description() == []
    assert Augmentation.from_description([]) == augment


@tensorflow
@pytest.mark.parametrize("augment", [brighter, functools.partial(brighter, by=2.0)])
def test_functions_of_one_image_see_each_image(augment):
    shown = Augmentation.of(augment).apply(IMAGES, ROWS)
    for number in range(6):
        np.testing.assert_array_equal(shown[number], augment(IMAGES[number], ROWS[number]))


@tensorflow
def test_functions_of_a_batch_see_the_batch():
    shown = Augmentation.of(functools.partial(brighter_batch, by=3.0)).apply(IMAGES, ROWS)
    np.testing.assert_array_equal(shown, brighter_batch(IMAGES, ROWS, 3.0))
    one_by_one = Augmentation.of(functools.partial(brighter, by=3.0)).apply(IMAGES, ROWS)
    np.testing.assert_array_equal(shown, one_by_one)


@tensorflow
def test_structures_and_encoded_images_pass():
    import tensorflow as tf

    def decoded(sample, seed):
        image = tf.io.decode_png(sample["png"], channels=3)
        return {"image": image, "text": sample["text"] + tf.cast(uniform(seed, 0) < 2, tf.int64)}

    samples = {
        "png": tf.stack([tf.io.encode_png(image) for image in IMAGES]),
        "text": np.arange(12).reshape(6, 2),
    }
    data = tf.data.Dataset.from_tensor_slices((samples, ROWS)).batch(4)
    augment = Augmentation.of(decoded)
    batches = list(data.map(augment.apply).as_numpy_iterator())
    shown = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    np.testing.assert_array_equal(shown["image"], IMAGES)
    np.testing.assert_array_equal(shown["text"], np.arange(12).reshape(6, 2) + 1)
    eager = augment.apply(samples, ROWS)
    np.testing.assert_array_equal(eager["image"], IMAGES)


@tensorflow
def test_stages_run_in_order_with_draws_of_their_own():
    augment = compose(crop_flip, compose(brighter, functools.partial(brighter_batch, by=0.5)))
    expected = crop_flip(IMAGES, ROWS)
    expected = brighter_batch(expected, folded(ROWS, 1))
    expected = brighter_batch(expected, folded(ROWS, 2), by=0.5)
    np.testing.assert_array_equal(augment.apply(IMAGES, ROWS), expected)
    twice = compose(compose(crop_flip, brighter), functools.partial(brighter_batch, by=0.5))
    assert twice == augment


@tensorflow
def test_a_composition_of_one_is_that_one():
    np.testing.assert_array_equal(compose(crop_flip).apply(IMAGES, ROWS), crop_flip(IMAGES, ROWS))
    assert compose() == Augmentation.of(None) == compose(None)


@tensorflow
def test_the_last_stage_may_mix():
    augment = compose(brighter_batch, half)
    assert augment.mixes
    own = augment.apply(IMAGES, ROWS)
    np.testing.assert_array_equal(own, brighter_batch(IMAGES, ROWS))
    shown, share = augment.mix(own, own[::-1], ROWS)
    np.testing.assert_array_equal(shown, (own + own[::-1]) / 2)
    np.testing.assert_array_equal(share, np.full(6, 0.5, "float32"))
    drawn, _ = compose(crop_flip, mixup).mix(IMAGES, IMAGES[::-1], ROWS)
    np.testing.assert_array_equal(drawn, mixup(IMAGES, IMAGES[::-1], folded(ROWS, 1))[0])


@pytest.mark.parametrize("parts", [(mixup, crop_flip), (mixup, cutmix), (compose(half), half)])
def test_only_the_last_stage_may_mix(parts):
    with pytest.raises(ValueError, match=r"mixes must be the last.*stand too early"):
        compose(*parts)


@tensorflow
def test_shipped_functions_keep_what_is_known_of_shapes():
    import tensorflow as tf

    def shown(images, partners, seeds):
        images = augment.apply(images, seeds)
        return augment.mix(images, partners, seeds)[0] if augment.mixes else images

    for function in (crop_flip, color_jitter, mixup, cutmix):
        augment = Augmentation.of(function)
        images = tf.TensorSpec((None, 8, 7, 3), tf.uint8)
        traced = tf.function(shown).get_concrete_function(
            images, images, tf.TensorSpec((None, 2), tf.int32)
        )
        assert traced.outputs[0].shape[1:] == (8, 7, 3)


def test_descriptions_hold_all_parameters():
    augment = compose(
        functools.partial(crop_flip, padding=2), functools.partial(brighter, by=2.0), mixup
    )
    assert augment.description() == [
        {"name": "crop_flip", "parameters": {"padding": 2}},
        {"name": "own brighter", "parameters": {"by": 2.0}},
        {"name": "mixup", "parameters": {"alpha": 0.2}},
    ]


def test_functions_without_a_name_are_called_so():
    description = Augmentation.of(lambda image, seed: image).description()
    assert description[0]["name"].endswith(".<lambda>")


def test_a_users_function_is_not_taken_for_a_shipped_one():
    def crop_flip(image, seed):
        return image

    name = "test_a_users_function_is_not_taken_for_a_shipped_one.<locals>.crop_flip"
    description = Augmentation.of(crop_flip).description()
    assert description == [{"name": f"own {name}", "parameters": {}}]
    assert Augmentation.from_description(description) is None


@tensorflow
def test_shipped_augmentations_are_rebuilt_from_json():
    from keras_kd.soft_labels import cutout, random_resized_crop

    augment = compose(
        functools.partial(random_resized_crop, size=(5, 6), scale=(0.5, 1.0)),
        functools.partial(crop_flip, padding=1),
        color_jitter,
        functools.partial(cutout, size=0.2),
        functools.partial(cutmix, alpha=0.5),
    )
    rebuilt = Augmentation.from_description(json.loads(json.dumps(augment.description())))
    assert rebuilt.description() == augment.description()
    own = augment.apply(IMAGES, ROWS)
    np.testing.assert_array_equal(rebuilt.apply(IMAGES, ROWS), own)
    for one, other in zip(rebuilt.mix(own, own, ROWS), augment.mix(own, own, ROWS)):
        np.testing.assert_array_equal(one, other)


def test_no_name_found_in_data_is_imported():
    for name in ("os.getcwd", "keras_kd.soft_labels.crops.crop_flip", "uniform", ""):
        assert Augmentation.from_description([{"name": name, "parameters": {}}]) is None


class Layer:
    def __call__(self, image, seed):
        return image


@pytest.mark.parametrize("augment", [Layer(), Layer, "crop_flip", 3, [crop_flip]])
def test_what_is_no_function_is_refused(augment):
    with pytest.raises(TypeError, match=r"augment must be a function of \(image, seed\)"):
        Augmentation.of(augment)


@pytest.mark.parametrize(
    "augment",
    [
        functools.partial(crop_flip, IMAGES),
        functools.partial(crop_flip, pading=2),
        functools.partial(mixup, alpha=np.float32(1)),
        functools.partial(brighter, by=float("nan")),
        lambda image: image,
    ],
)
def test_parameters_that_cannot_be_are_refused(augment):
    with pytest.raises(TypeError, match=r"(?s)parameters of .* must be keyword arguments it takes"):
        Augmentation.of(augment)


@tensorflow
def test_compiled_functions_and_methods_are_functions():
    import tensorflow as tf

    class Own:
        def show(self, image, seed):
            return image + 1

    for augment in (tf.function(lambda image, seed: image + 1), Own().show):
        np.testing.assert_array_equal(Augmentation.of(augment).apply(IMAGES, ROWS), IMAGES + 1)
