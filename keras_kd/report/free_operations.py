"""Which of Keras' layers and operations are free of products between tensors."""

# ruff: noqa: SIM905 (a word list is easier to read)

__all__ = ["FREE_LAYERS", "FREE_OPERATIONS"]

FREE_LAYERS = frozenset(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
    AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
    AlphaDropout Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization
    CategoryEncoding CenterCrop Concatenate Cropping1D Cropping2D Cropping3D Discretization Dropout
    ELU Embedding Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization HashedCrossing Hashing Identity InputLayer IntegerLookup
    LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    Multiply Normalization PReLU Permute RMSNormalization RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomErasing RandomFlip RandomGrayscale RandomHue
    RandomInvert RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D StringLookup Subtract TextVectorization
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
    ZeroPadding3D LayerScale StochasticDepth
    """.split()
)
FREE_OPERATIONS = frozenset(
    """
    Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add All Amax Amin Any Append Arange Arccos
    Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort Array ArraySplit Average
    AveragePool BatchNorm BroadcastTo Cast Cbrt Ceil Celu Clip Concatenate Copy Cos Cosh
    CountNonzero CropImages Cumsum DepthToSpace Diag Diagonal Diff Digitize Divide DivideNoNan
    Dropout Elu Equal Erf Erfc Exp Exp2 ExpandDims Expm1 ExtractPatches Flip Floor FloorDivide Full
    FullLike Gelu GetItem Glu Greater GreaterEqual HardShrink HardSigmoid HardSilu HardTanh Hstack
    Identity InTopK Isclose Isfinite Isinf Isnan LayerNorm LeakyRelu Less LessEqual Log Log10 Log1p
    Log2 LogSigmoid LogSoftmax Logaddexp LogicalAnd LogicalNot LogicalOr LogicalXor Logsumexp Max
    MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply
    NanToNum Negative Norm Normalize NotEqual OneHot OnesLike Pad PadImages Power Prod
    RGBToGrayscale RMSNorm Ravel Reciprocal Relu Relu6 Repeat Reshape Resize Roll Round Rsqrt
    ScatterUpdate Select Selu Shape Sigmoid Sign Silu Sin Sinh Size Slice SliceUpdate SoftShrink
    Softmax Softplus Softsign Sort SpaceToDepth SparsePlus SparseSigmoid Sparsemax Split Sqrt Square
    Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
    TanhShrink Threshold Tile TopK Transpose Tril Triu TrueDivide Trunc Unstack Var Vstack Where
    ZerosLike
    """.split()
)
