"""The package's exceptions. Each text says what was wrong, where, and how to mend it."""


class PerceptionError(Exception):
    """Root of every error that this package raises on purpose."""

    def forget_frames(self) -> None:
        """Drop the tracebacks, before the error is returned or kept instead of raised.

        A traceback holds its frames, these their callers, and the one among these that got the
        error holds the error: a circle around an image, until the garbage collector comes.
        """
        link: BaseException | None = self
        while link is not None:
            link.__traceback__ = None
            link = link.__cause__ or link.__context__


class ModelSpecError(PerceptionError):
    """A model's YAML file is missing, unreadable or contradicts itself or its ONNX file."""


class ModelFileError(PerceptionError):
    """An ONNX file is missing, truncated, not ONNX, or uses what no backend can run."""


class ModelOutputError(PerceptionError):
    """The network's outputs do not have the shape or type that the model's family promises."""


class BackendUnavailableError(PerceptionError):
    """The requested inference backend cannot run on this machine."""


class EngineFileError(PerceptionError):
    """An engine file, or the folder that keeps them, is damaged or not to be trusted."""


class EngineBuildError(PerceptionError):
    """TensorRT did not build an engine from a network."""


class KernelError(PerceptionError):
    """The CUDA kernels cannot be compiled for this GPU."""


class AccuracyError(PerceptionError):
    """An engine's results differ from those of the float32 network by more than allowed."""


class BuildCancelledError(PerceptionError):
    """The user stopped a build, or the wait for another one."""


class InferenceError(PerceptionError):
    """The backend failed while it ran the network."""


class GpuMemoryError(InferenceError):
    """The GPU, or its page-locked memory on the host, has no room for what is needed."""


class DeviceLostError(InferenceError):
    """The GPU's context is gone after a fault; it has to be made anew."""


class SourceError(PerceptionError):
    """An image source (file, folder, video, camera, bag) cannot be opened or read."""


class OutputError(PerceptionError):
    """A file of results (picture, video, bag, JSON) cannot be written."""


class ParameterError(PerceptionError):
    """A parameter or command-line value is not allowed."""


class MissingDependencyError(PerceptionError):
    """An optional library is needed for what was asked and is not installed."""


class CalibrationError(PerceptionError):
    """Calibration images or a file of calibrated ranges cannot be used."""


class ExportError(PerceptionError):
    """A network cannot be exported, or the exported file computes something else."""


class EvaluationError(PerceptionError):
    """A data set cannot be used to measure a model."""


class FrameError(PerceptionError):
    """One frame cannot be used. It is counted under `cause` and the next frame is served.

    `cause` is one of `CAUSES`: a short word that stays the same over time, for counters.
    """

    CAUSES = (
        'empty',
        'short_data',
        'bad_step',
        'unknown_encoding',
        'odd_size',
        'corrupt',
        'too_large',
    )

    def __init__(self, cause: str, message: str) -> None:
        if cause not in self.CAUSES:
            raise ValueError(f'{cause!r} is not one of {self.CAUSES}')
        super().__init__(message)
        self.cause = cause
