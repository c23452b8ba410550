// Dense heads: from one row of numbers per anchor to the objects of each image. Equal to
// decoding/dense_head.py, candidates.py, objects.py and suppression.py: the same objects, numbers
// and order.
//
// Launched in this order, all images of a batch at once:
//   head_begin     sets the counters to 0
//   head_scores_*  best class of each anchor; those that score high enough become candidates
//   head_cut, head_accept_*   only for networks with more anchors than may be candidates
//   head_sort      puts the candidates in order of falling score, CHUNK at a time
//   head_merge     where more than CHUNK may be candidates: finds the place of each among all
//                  chunks
//   head_suppress  keeps the best ones, and writes the result
//   head_extras_*  copies what the task adds beside the result
//
// Candidates are found in no particular order. Their keys, score and anchor, are all different,
// so sorting by them gives the one order that the CPU has. Nothing waits for the host.

#include "execution.cuh"

#define MOST_IMAGES 32
#define MOST_CLASSES 2048
#define MOST_DETECTIONS 1024
#define RADIX 256
#define CUTTING 1024  // threads that look for the last candidate
#define CHUNK 1024    // candidates that are sorted at once
#define PLACED 16     // of which a block places so many
#define SHARES 32     // threads that count for one of them
#define ABREAST 4     // chunks that are searched at once
#define AHEAD 4       // keys that are read before they are looked at
#define BLOCK 256     // boxes that are compared with each other at once
#define PARTS 4       // threads that share the work for one of them
#define WORDS (BLOCK / 32)
#define FEW 8  // boxes of 32

typedef unsigned long long Key;  // falling score, then rising anchor

struct alignas(16) Box {
  float x1, y1, x2, y2;
};

// One object, as it is copied back.
struct alignas(16) Row {
  Box box;  // in source pixels
  float score;
  int class_id, anchor, unused;
};

struct Header {
  int count;       // rows that follow
  int candidates;  // that entered suppression
  int unused[6];
};

struct Counters {
  int scored, accepted;
};

// Where an image lies in the network's input: network = source * scale + offset.
struct Placement {
  double scale_x, scale_y, left, top, width, height;
};

// Addresses within `scratch` and `result` are offsets in bytes of the first image's part.
struct Call {
  const void* predictions;
  unsigned char* scratch;
  unsigned char* result;
  long long scratch_stride, result_stride;  // from one image to the next
  long long keys, sorted_keys;
  long long boxes, classes;  // of each anchor that scores high enough
  long long scored_keys;     // of all these, where they are cut
  double iou;
  int anchors, classes_count, extras;
  int anchor_stride, value_stride;  // numbers from one anchor, or value of an anchor, to the next
  int objectness;      // 1 if it stands behind the box
  int classes_scored;  // 0 if objectness alone is the score
  int most_candidates, max_detections, filtered;
  float score, extra_limit;
  unsigned int wanted[MOST_CLASSES / 32];
  Placement images[MOST_IMAGES];
};

// The parts of one image.
struct Work {
  Counters* counters;
  Key* cut;
  Key *keys, *sorted_keys, *scored_keys;
  Box* boxes;
  int* classes;
  Header* header;
  Row* rows;
};

__device__ inline Work work_of(const Call& call, int image) {
  unsigned char* scratch = call.scratch + call.scratch_stride * image;
  unsigned char* result = call.result + call.result_stride * image;
  Work work;
  work.counters = (Counters*)scratch;
  work.cut = (Key*)(scratch + 16);
  work.keys = (Key*)(scratch + call.keys);
  work.boxes = (Box*)(scratch + call.boxes);
  work.classes = (int*)(scratch + call.classes);
  work.sorted_keys = (Key*)(scratch + call.sorted_keys);
  work.scored_keys = (Key*)(scratch + call.scored_keys);
  work.header = (Header*)result;
  work.rows = (Row*)(result + sizeof(Header));
  return work;
}

template <typename T>
__device__ inline float value_at(const Call& call, int image, int anchor, int value) {
  const int values = 4 + call.objectness + call.classes_count + call.extras;
  const long long start = (long long)image * call.anchors * values;
  const long long place =
      (long long)anchor * call.anchor_stride + (long long)value * call.value_stride;
  return number(((const T*)call.predictions)[start + place]);
}

// Rises as the score falls; of equal scores, zeros of either sign included, with the anchor.
__device__ inline Key key_of(float score, int anchor) {
  unsigned int bits = score == 0.0f ? 0u : __float_as_uint(score);
  bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
  return (Key)~bits << 32 | (unsigned int)anchor;
}

__device__ inline float score_of(Key key) {
  const unsigned int bits = ~(unsigned int)(key >> 32);
  return __uint_as_float(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

__device__ inline float clipped(double value, double offset, double scale, double limit) {
  return (float)between((value - offset) / scale, 0.0, limit);
}

__device__ inline Box in_source(const Box& box, const Placement& placement) {
  Box mapped;
  mapped.x1 = clipped(box.x1, placement.left, placement.scale_x, placement.width);
  mapped.y1 = clipped(box.y1, placement.top, placement.scale_y, placement.height);
  mapped.x2 = clipped(box.x2, placement.left, placement.scale_x, placement.width);
  mapped.y2 = clipped(box.y2, placement.top, placement.scale_y, placement.height);
  return mapped;
}

__device__ inline bool is_solid(const Box& box) { return box.x2 > box.x1 && box.y2 > box.y1; }

template <typename T>
__device__ inline bool box_of(const Call& call, int image, int anchor, Box& box) {
  const float x = value_at<T>(call, image, anchor, 0), y = value_at<T>(call, image, anchor, 1);
  const float half_width = value_at<T>(call, image, anchor, 2) * 0.5f;
  const float half_height = value_at<T>(call, image, anchor, 3) * 0.5f;
  box.x1 = x - half_width;
  box.y1 = y - half_height;
  box.x2 = x + half_width;
  box.y2 = y + half_height;
  if (!is_finite(box.x1) || !is_finite(box.y1) || !is_finite(box.x2) || !is_finite(box.y2))
    return false;
  return is_solid(box) && is_solid(in_source(box, call.images[image]));
}

// Makes a candidate of an anchor, unless its class is not wanted or its numbers are unusable.
template <typename T>
__device__ inline void accept(const Call& call, int image, Key key, int class_id) {
  if (call.filtered && !(call.wanted[class_id >> 5] >> (class_id & 31) & 1)) return;
  const int anchor = (int)(unsigned int)key;
  Box box;
  if (!box_of<T>(call, image, anchor, box)) return;
  const int before = 4 + call.objectness + call.classes_count;
  for (int extra = 0; extra < call.extras; ++extra) {
    const float value = value_at<T>(call, image, anchor, before + extra);
    if (!(value <= call.extra_limit && value >= -call.extra_limit)) return;
  }
  const Work work = work_of(call, image);
  const int place = atomicAdd(&work.counters->accepted, 1);
  work.keys[place] = key_of(least(score_of(key), 1.0f), anchor);
  work.boxes[anchor] = box;
  work.classes[anchor] = class_id;
}

KERNEL(32, head_begin, Call) {
  if (threadIdx.x != 0) return;
  const Work work = work_of(call, blockIdx.x);
  work.counters->scored = 0;
  work.counters->accepted = 0;
}

struct Best {
  float score;
  int class_id;
  int sound;  // 0 once a NaN was among the scores, or objectness is out of bounds
};

// One thread's share of an anchor's classes: every `step`th from `first` on.
template <typename T>
__device__ inline Best best_of(const Call& call, int image, int anchor, int first, int step) {
  Best best = {0.0f, -1, 1};
  float objectness = 1.0f;
  if (call.objectness) {
    objectness = value_at<T>(call, image, anchor, 4);
    best.sound = objectness >= call.score && is_finite(objectness);
    if (!best.sound) return best;
    if (!call.classes_scored) {
      best.score = objectness;
      best.class_id = 0;
      return best;
    }
  }
  for (int class_id = first; class_id < call.classes_count; class_id += step) {
    float score = value_at<T>(call, image, anchor, 4 + call.objectness + class_id);
    if (call.objectness) score = objectness * score;
    if (score != score) best.sound = 0;
    if (best.class_id < 0 || score > best.score) {
      best.score = score;
      best.class_id = class_id;
    }
  }
  return best;
}

__device__ inline void merge(Best& best, const Best& other) {
  best.sound &= other.sound;
  if (other.class_id < 0) return;
  const bool tie = other.score == best.score && other.class_id < best.class_id;
  if (best.class_id < 0 || other.score > best.score || tie) {
    best.score = other.score;
    best.class_id = other.class_id;
  }
}

// ANCHORS * PIECES threads. Neighbouring threads read neighbouring numbers: of different anchors
// where those are the last axis, of different classes where those are.
template <typename T, int ANCHORS, int PIECES, bool ANCHORS_LAST>
__device__ inline void scores(const Call& call) {
  __shared__ Best shares[ANCHORS * PIECES];
  const int thread = threadIdx.x, image = blockIdx.y;
  const int local = ANCHORS_LAST ? thread % ANCHORS : thread / PIECES;
  const int share = ANCHORS_LAST ? thread / ANCHORS : thread % PIECES;
  const int anchor = blockIdx.x * ANCHORS + local;
  if (anchor < call.anchors)
    shares[local * PIECES + share] = best_of<T>(call, image, anchor, share, PIECES);
  __syncthreads();
  if (share != 0 || anchor >= call.anchors) return;
  Best best = shares[local * PIECES];
  if (!best.sound) return;  // most are, by their objectness
  for (int other = 1; other < PIECES; ++other) merge(best, shares[local * PIECES + other]);
  if (!best.sound || !(best.score >= call.score && is_finite(best.score))) return;
  const Key key = key_of(best.score, anchor);
  if (call.anchors <= call.most_candidates) {
    accept<T>(call, image, key, best.class_id);
    return;
  }
  const Work work = work_of(call, image);
  const int place = atomicAdd(&work.counters->scored, 1);
  work.scored_keys[place] = key;
  work.classes[anchor] = best.class_id;
}

KERNEL(256, head_scores_float32, Call) { scores<float, 32, 8, true>(call); }
KERNEL(256, head_scores_float16, Call) { scores<Half, 32, 8, true>(call); }
KERNEL(256, head_scores_objectness_float32, Call) { scores<float, 8, 32, false>(call); }
KERNEL(256, head_scores_objectness_float16, Call) { scores<Half, 8, 32, false>(call); }

// Adds up a histogram: of each digit, how many keys have it or a lower one.
__device__ inline void add_up(const int* histogram, int* sums) {
  const int digit = threadIdx.x;
  if (digit < RADIX) sums[digit] = histogram[digit];
  for (int step = 1; step < RADIX; step *= 2) {
    __syncthreads();
    const int lower = digit < RADIX && digit >= step ? sums[digit - step] : 0;
    __syncthreads();
    if (digit < RADIX) sums[digit] += lower;
  }
}

// Counts the digits at `shift` of those keys whose higher digits are those of `prefix`. The highest
// digits are all but equal, so that those that follow each other are counted together.
__device__ inline void count_digits(const Key* keys, int count, Key prefix, int shift,
                                    int* histogram) {
  const Key above = shift == 56 ? 0 : prefix >> (shift + 8);
  int digit = 0, run = 0;
  for (int begin = threadIdx.x; begin < count; begin += AHEAD * CUTTING) {
    Key read[AHEAD];
    for (int i = 0; i < AHEAD; ++i)
      read[i] = begin + i * CUTTING < count ? keys[begin + i * CUTTING] : 0;
    for (int i = 0; i < AHEAD; ++i) {
      if (begin + i * CUTTING >= count) break;
      if (shift != 56 && read[i] >> (shift + 8) != above) continue;
      const int found = (int)(read[i] >> shift & 255);
      if (found != digit) {
        if (run) atomicAdd(&histogram[digit], run);
        digit = found;
        run = 0;
      }
      ++run;
    }
  }
  if (run) atomicAdd(&histogram[digit], run);
}

// The last key that may be a candidate, found digit by digit from the highest.
KERNEL(CUTTING, head_cut, Call) {
  __shared__ int histogram[RADIX], sums[RADIX];
  __shared__ Key prefix;
  __shared__ int wanted;
  const Work work = work_of(call, blockIdx.x);
  const int count = work.counters->scored, thread = threadIdx.x;
  if (count <= call.most_candidates) {
    if (thread == 0) *work.cut = ~(Key)0;
    return;
  }
  if (thread == 0) {
    prefix = 0;
    wanted = call.most_candidates;
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    if (shift < 32 && (long long)call.anchors <= 1LL << shift) continue;  // no anchor has it
    if (thread < RADIX) histogram[thread] = 0;
    __syncthreads();
    const int sought = wanted;
    count_digits(work.scored_keys, count, prefix, shift, histogram);
    __syncthreads();
    add_up(histogram, sums);
    if (thread < RADIX && sums[thread] >= sought && sums[thread] - histogram[thread] < sought) {
      wanted = sought - (sums[thread] - histogram[thread]);
      prefix |= (Key)thread << shift;
    }
    __syncthreads();
  }
  if (thread == 0) *work.cut = prefix;
}

template <typename T>
__device__ inline void accept_scored(const Call& call) {
  const Work work = work_of(call, blockIdx.y);
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place >= work.counters->scored) return;
  const Key key = work.scored_keys[place];
  if (key <= *work.cut) accept<T>(call, blockIdx.y, key, work.classes[(int)(unsigned int)key]);
}

KERNEL(256, head_accept_float32, Call) { accept_scored<float>(call); }
KERNEL(256, head_accept_float16, Call) { accept_scored<Half>(call); }

// The place of a candidate in its chunk is the number of keys before its own.
KERNEL(PLACED * SHARES, head_sort, Call) {
  __shared__ int places[PLACED];
  const Work work = work_of(call, blockIdx.y);
  const int count = work.counters->accepted, first = blockIdx.x * PLACED;
  if (first >= count) return;
  const int chunk = first / CHUNK * CHUNK, end = least(chunk + CHUNK, count);
  const int local = threadIdx.x / SHARES, share = threadIdx.x % SHARES;
  const bool used = first + local < count;
  const Key key = used ? work.keys[first + local] : 0;
  if (share == 0) places[local] = 0;
  __syncthreads();
  int before = 0;
#pragma unroll 8
  for (int i = chunk + share; i < end; i += SHARES) before += work.keys[i] < key;
  if (before) atomicAdd(&places[local], before);
  __syncthreads();
  if (share == 0 && used) work.sorted_keys[chunk + places[local]] = key;
}

// How many keys of the first ABREAST chunks come before one.
__device__ inline int keys_before(const Key* keys, int count, Key key) {
  int found[ABREAST] = {};
  for (int step = CHUNK; step > 0; step /= 2)
    for (int i = 0; i < ABREAST; ++i) {
      const int next = found[i] + step;
      if (next <= least(count - i * CHUNK, CHUNK) && keys[i * CHUNK + next - 1] < key)
        found[i] = next;
    }
  int sum = 0;
  for (int i = 0; i < ABREAST; ++i) sum += found[i];
  return sum;
}

// The place of a candidate among all is the sum of those that it has, or would have, in each chunk.
KERNEL(BLOCK, head_merge, Call) {
  const Work work = work_of(call, blockIdx.y);
  const int count = work.counters->accepted, index = blockIdx.x * BLOCK + threadIdx.x;
  if (count <= CHUNK || index >= count) return;
  const Key key = work.sorted_keys[index];
  int place = 0;
  for (int start = 0; start < count; start += ABREAST * CHUNK)
    place += keys_before(work.sorted_keys + start, count - start, key);
  work.keys[place] = key;
}

__device__ inline double area(const Box& box) {
  return ((double)box.x2 - (double)box.x1) * ((double)box.y2 - (double)box.y1);
}

// Whether the boxes' IoU, in float64, is greater than `iou`.
__device__ inline bool overlap(const Box& one, const Box& other, double iou) {
  const float left = greatest(one.x1, other.x1), right = least(one.x2, other.x2);
  const float top = greatest(one.y1, other.y1), bottom = least(one.y2, other.y2);
  // Most pairs lie apart, which float32 decides as well; float64 is slow on many GPUs.
  if (!(right > left && bottom > top)) return false;
  // So is it where the numbers are of a usual size and the IoU is far from the limit: rounding
  // moves neither side by more than 2^-19 of it.
  const float part = (right - left) * (bottom - top);
  const float sum = (one.x2 - one.x1) * (one.y2 - one.y1) +
                    (other.x2 - other.x1) * (other.y2 - other.y1) - part;
  const float limit = (float)iou * sum;
  if (iou > 1e-6 && part > 1e-20f && sum < 1e30f) {
    if (part > limit * 1.00001f) return true;
    if (part < limit * 0.99999f) return false;
  }
  const double shared = ((double)right - (double)left) * ((double)bottom - (double)top);
  return shared / (area(one) + area(other) - shared) > iou;
}

struct Block {
  Box boxes[BLOCK];
  Box kept_boxes[MOST_DETECTIONS];
  int classes[BLOCK];
  int kept_classes[MOST_DETECTIONS];
  unsigned int alive[WORDS], kept[WORDS];
  unsigned int rivals[WORDS][BLOCK];  // of each box, those before it that would suppress it
};

__device__ inline bool has(const unsigned int* words, int bit) {
  return words[bit >> 5] >> (bit & 31) & 1;
}

// The lowest bits, at most 32 of them.
__device__ inline unsigned int ones(int count) {
  return count >= 32 ? ~0u : count <= 0 ? 0u : (1u << count) - 1;
}

// The candidates in their order.
__device__ inline const Key* ordered(const Work& work, int count) {
  return count > CHUNK ? work.keys : work.sorted_keys;
}

// Which of the first `count` classes, at most 32, are a certain one.
__device__ inline unsigned int same(const int* classes, int count, int class_id) {
  unsigned int bits = 0;
#pragma unroll
  for (int i = 0; i < 32; ++i) bits |= (unsigned int)(classes[i] == class_id) << i;
  return bits & ones(count);
}

// Loads the boxes from `start` on, and takes out those that a kept one suppresses.
__device__ inline void load(const Call& call, const Work& work, Block& block, const Key* keys,
                            int size, int kept) {
  const int local = threadIdx.x % BLOCK, part = threadIdx.x / BLOCK;
  if (threadIdx.x < WORDS) block.alive[threadIdx.x] = ones(size - 32 * (int)threadIdx.x);
  if (part == 0 && local < size) {
    const int anchor = (int)(unsigned int)keys[local];
    block.boxes[local] = work.boxes[anchor];
    block.classes[local] = work.classes[anchor];
  }
  __syncthreads();
  if (local < size) {
    const Box box = block.boxes[local];
    const int class_id = block.classes[local];
    bool alive = true;
    for (int begin = 32 * part; begin < kept && alive; begin += 32 * PARTS) {
      unsigned int rivals = same(block.kept_classes + begin, kept - begin, class_id);
      for (; rivals && alive; rivals &= rivals - 1)
        alive = !overlap(block.kept_boxes[begin + __ffs((int)rivals) - 1], box, call.iou);
    }
    if (!alive) atomicAnd(&block.alive[local >> 5], ~(1u << (local & 31)));
  }
  __syncthreads();
}

// Finds for each box those before it that would suppress it.
__device__ inline void compare(const Call& call, Block& block) {
  const int local = threadIdx.x % BLOCK, part = threadIdx.x / BLOCK;
  if (has(block.alive, local)) {
    const Box box = block.boxes[local];
    const int class_id = block.classes[local];
    for (int word = part; word <= local >> 5; word += PARTS) {
      unsigned int rivals = 0;
      unsigned int left = same(block.classes + 32 * word, local - 32 * word, class_id);
      for (left &= block.alive[word]; left; left &= left - 1) {
        const int bit = __ffs((int)left) - 1;
        if (overlap(block.boxes[32 * word + bit], box, call.iou)) rivals |= 1u << bit;
      }
      block.rivals[word][local] = rivals;
    }
  }
  __syncthreads();
}

// Which of 32 boxes are kept: one thread goes through them in order. Where few are alive it takes
// a step for each; else it reads all first, and does not touch memory on its way.
__device__ inline unsigned int kept_of(const unsigned int* rivals, unsigned int alive, int room) {
  unsigned int kept = 0;
  if (__popc(alive) <= FEW) {
    for (; alive && room > 0; alive &= alive - 1) {
      const int i = __ffs((int)alive) - 1;
      if (rivals[i] & kept) continue;
      kept |= 1u << i;
      --room;
    }
    return kept;
  }
  unsigned int against[32];
  for (int i = 0; i < 32; ++i) against[i] = rivals[i];
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    if (alive >> i & 1 && !(against[i] & kept) && room > 0) {
      kept |= 1u << i;
      --room;
    }
  }
  return kept;
}

// Goes through the boxes in order, 32 at a time; what is kept takes out boxes of later words.
__device__ inline void choose(Block& block, int size, int room) {
  const int thread = threadIdx.x;
  if (thread < WORDS) block.kept[thread] = 0;
  __syncthreads();
  for (int word = 0; 32 * word < size; ++word) {
    const unsigned int alive = block.alive[word];
    if (alive == 0) continue;
    if (thread == 0) {
      const unsigned int chosen = kept_of(&block.rivals[word][32 * word], alive, room);
      room -= __popc(chosen);
      block.kept[word] = chosen;
    }
    __syncthreads();
    const unsigned int kept = block.kept[word];
    if (kept == 0) continue;
    if (thread < BLOCK && thread >= 32 * (word + 1) && block.rivals[word][thread] & kept)
      atomicAnd(&block.alive[thread >> 5], ~(1u << (thread & 31)));
    __syncthreads();
  }
}

// How many boxes before this one are kept.
__device__ inline int kept_before(const Block& block, int local) {
  int count = 0;
  for (int word = 0; word < WORDS; ++word)
    count += __popc(block.kept[word] & ones(local - 32 * word));
  return count;
}

// Writes what is kept, behind the `kept` objects that are there already.
__device__ inline void write_kept(const Call& call, const Work& work, Block& block, int image,
                                  const Key* keys, int kept) {
  const int local = threadIdx.x;
  if (local >= BLOCK || !has(block.kept, local)) return;
  const int place = kept + kept_before(block, local);
  const Key key = keys[local];
  block.kept_boxes[place] = block.boxes[local];
  block.kept_classes[place] = block.classes[local];
  Row row;
  row.box = in_source(block.boxes[local], call.images[image]);
  row.score = score_of(key);
  row.class_id = block.classes[local];
  row.anchor = (int)(unsigned int)key;
  row.unused = 0;
  work.rows[place] = row;
}

KERNEL(BLOCK * PARTS, head_suppress, Call) {
  __shared__ Block block;
  const int image = blockIdx.x;
  const Work work = work_of(call, image);
  const int count = work.counters->accepted;
  int kept = 0;
  for (int start = 0; start < count && kept < call.max_detections; start += BLOCK) {
    const Key* keys = ordered(work, count) + start;
    const int size = least(count - start, BLOCK);
    load(call, work, block, keys, size, kept);
    compare(call, block);
    choose(block, size, call.max_detections - kept);
    write_kept(call, work, block, image, keys, kept);
    kept += kept_before(block, BLOCK);
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    Header header = {kept, count, {0, 0, 0, 0, 0, 0}};
    *work.header = header;
  }
}

// Extras of the objects as float32 [objects, extras], behind the rows of the result.
template <typename T>
__device__ inline void copy_extras(const Call& call) {
  const Work work = work_of(call, blockIdx.y);
  if ((int)blockIdx.x >= work.header->count) return;
  float* out = (float*)(work.rows + MOST_DETECTIONS) + (long long)blockIdx.x * call.extras;
  const int anchor = work.rows[blockIdx.x].anchor;
  const int before = 4 + call.objectness + call.classes_count;
  for (int extra = threadIdx.x; extra < call.extras; extra += blockDim.x)
    out[extra] = value_at<T>(call, blockIdx.y, anchor, before + extra);
}

KERNEL(64, head_extras_float32, Call) { copy_extras<float>(call); }
KERNEL(64, head_extras_float16, Call) { copy_extras<Half>(call); }
