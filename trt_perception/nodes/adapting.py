"""What a node's parameters and machine mean for the choice between variants of its model."""

from __future__ import annotations

from trt_perception.adaptation.settings import AdaptationSettings, MachineState
from trt_perception.building.variants import VariantName, variant_names
from trt_perception.errors import ParameterError
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.nodes.inference_parameters import InferenceParameters


def adaptive_variants(parameters: InferenceParameters) -> tuple[VariantName, ...]:
    """The variants that the node opens; none where it does not adapt.

    Raises:
        ParameterError: `adaptive` and `target_latency` do not go together, or an entry is wrong.
    """
    entries = parameters.adaptive
    if bool(entries) != bool(parameters.target_latency):
        raise ParameterError(
            f'adaptive names {len(entries)} variants, but target_latency is '
            f'{parameters.target_latency:g} s: set both, or leave both alone'
        )
    if len(entries) == 1:
        raise ParameterError(
            f'adaptive: {entries[0]!r} is the only variant, so that there is nothing to choose. '
            'Name at least two, the most accurate first, or use model and precision'
        )
    return variant_names(entries, parameters.model, parameters.precision)


def adaptation_settings(parameters: InferenceParameters) -> AdaptationSettings:
    """The aim."""
    return AdaptationSettings(target_latency_ms=parameters.target_latency * 1e3)


def machine_state(machine: Machine, *, on_cpu: bool) -> MachineState:
    """What the controller looks at, of the processor that runs the network."""
    gpu, process = machine.gpu, machine.process
    if on_cpu:
        return MachineState(load=process.machine_cpu if process else None)
    if gpu is None:
        return MachineState()
    return MachineState(
        temperature_c=gpu.temperature_c, power=gpu.power_share, load=gpu.utilisation
    )
