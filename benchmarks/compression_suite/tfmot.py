"""The same rows by tensorflow-model-optimization (TFMOT), as its guides have them."""

from compression_suite.tasks import batches
from keras_kd import compression
from keras_kd.compression.tf_keras_port import packages


def file_of(task, kind, start, path):
    """Trains the student of a row with TFMOT and writes its file."""
    import tensorflow as tf

    model = _student(task, kind, compression.tfmot.to_tf_keras(start))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind not in ("qat8", "all"):
        (x, _), *_ = task.data()
        converter.representative_dataset = lambda: ([row[None]] for row in x[:500])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


def _student(task, kind, model):
    _, tfmot = packages()
    quantization = tfmot.quantization.keras
    if kind == "qat8":
        return _fit(task, quantization.quantize_model(model), kind)
    if kind in ("pruned", "all"):
        model = _pruned(task, model)
    if kind == "pruned":
        return model
    model = _clustered(task, model, kind)
    if kind == "clustered":
        return model
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(True)
    annotated = quantization.quantize_annotate_model(model)
    return _fit(task, quantization.quantize_apply(annotated, scheme), "all")


def _pruned(task, model):
    """Returns the pruned network, which two rows begin with."""
    sparsity = packages()[1].sparsity.keras
    weights = task.cache / f"{task.name}.tfmot.pruned.weights.h5"
    if weights.exists():
        model.load_weights(weights)
        return model
    end = int(0.4 * task.steps("pruned"))
    schedule = sparsity.PolynomialDecay(0.0, 0.8, 0, end, frequency=max(1, end // 100))
    model = sparsity.prune_low_magnitude(model, schedule)
    _fit(task, model, "pruned", [sparsity.UpdatePruningStep()])
    model = sparsity.strip_pruning(model)
    model.save_weights(weights)
    return model


def _clustered(task, model, kind):
    clustering = packages()[1].clustering.keras
    how = {"number_of_clusters": 16}
    how["cluster_centroids_init"] = clustering.CentroidInitialization.KMEANS_PLUS_PLUS
    cluster = clustering.cluster_weights
    if kind == "all":
        from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

        cluster, how["preserve_sparsity"] = cluster.cluster_weights, True
    return clustering.strip_clustering(_fit(task, cluster(model, **how), kind))


def _fit(task, model, kind, callbacks=()):
    tf_keras, _ = packages()
    decay = tf_keras.optimizers.schedules.CosineDecay(task.rate(kind), task.steps(kind))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(decay), loss)
    steps = task.steps(kind)
    model.fit(batches(task, kind), steps_per_epoch=steps, callbacks=[*callbacks], verbose=2)
    return model
