import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import StringStringEntryProto, TensorShapeProto, TypeProto, ValueInfoProto

from trt_perception.protobuf_message import DamagedMessageError, Message


def message(proto) -> Message:
    return Message(memoryview(proto.SerializeToString()))


def test_an_empty_message_has_empty_fields():
    empty = Message(memoryview(b''))
    assert (empty.text(1), empty.texts(1), empty.number(1), empty.messages(1)) == ('', [], 0, [])
    assert not empty.has_number(1)
    assert empty.message(1).text(1) == ''


@given(key=st.text(max_size=8), value=st.text(max_size=300))
@settings(max_examples=25)
def test_texts_are_what_the_library_wrote(key, value):
    entry = message(StringStringEntryProto(key=key, value=value))
    assert (entry.text(1), entry.text(2)) == (key, value)


@given(value=st.integers(-(2**63), 2**63 - 1))
@example(0)
@example(-1)
@example(2**63 - 1)
@settings(max_examples=50)
def test_numbers_are_what_the_library_wrote(value):
    dimension = message(TensorShapeProto.Dimension(dim_value=value))
    assert dimension.has_number(1)
    assert dimension.number(1) == value


def test_a_message_in_parts_is_one():
    first = ValueInfoProto(name='a', type=TypeProto(tensor_type={'elem_type': 7}))
    second = ValueInfoProto(name='b', type=TypeProto(denotation='IMAGE'))
    both = first.SerializeToString() + second.SerializeToString()
    merged = Message(memoryview(both))
    assert merged.text(1) == 'b'
    assert merged.message(2).message(1).number(1) == 7
    assert merged.message(2).text(6) == 'IMAGE'


@pytest.mark.parametrize(
    ('data', 'why'),
    [
        (b'\x0a\x05abc', 'longer than its message'),
        (b'\x0a', 'within a number'),
        (b'\x08\xff\xff', 'within a number'),
        (b'\x08' + b'\xff' * 10 + b'\x01', 'more than 64 bits'),
        (b'\x0b', 'of kind 3'),
        (b'\x00\x01', 'has no number'),
        (b'\x09\x00', 'longer than its message'),
    ],
)
def test_what_is_no_message_is_refused(data, why):
    with pytest.raises(DamagedMessageError, match=why):
        Message(memoryview(data))


def test_a_text_that_is_none_is_refused():
    with pytest.raises(DamagedMessageError, match='field 1 is no text'):
        Message(memoryview(b'\x0a\x01\xff')).text(1)


@given(data=st.binary(max_size=40))
@settings(max_examples=50)
def test_what_the_library_reads_is_read(data):
    try:
        StringStringEntryProto().ParseFromString(data)
    except DecodeError:
        return
    if not any(byte & 7 in (3, 4) for byte in data):  # groups, which ONNX has nowhere
        Message(memoryview(data))
