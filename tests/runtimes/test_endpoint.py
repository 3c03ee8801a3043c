from keras_kd.runtimes.endpoint import ENDPOINT


def test_files_have_the_name_that_tensorflow_and_keras_use():
    assert ENDPOINT == "serve"
