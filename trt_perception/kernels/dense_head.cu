// Dense heads: from one row of numbers per anchor to the objects of each image. Equal to
// decoding/dense_head.py, candidates.py, objects.py and suppression.py: the same objects, numbers
// and order.
//
// Launched in this order, all images of a batch at once:
//   head_begin     sets the counters to 0
//   head_scores_*  best class of each anchor; those that score high enough become candidates
//   head_cut, head_accept_*   only for networks with more anchors than may be candidates
//   head_rank      puts the candidates in order of falling score
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
#define BLOCK 256  // boxes that are compared with each other at once
#define PARTS 4    // threads that share the work for one of them

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
  long long keys, boxes, classes, sorted_keys, sorted_boxes, sorted_classes;
  long long scored_keys, scored_classes;  // of all that score high enough, where those are cut
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
  Box* kept_boxes;
  int* kept_classes;
  Key *keys, *sorted_keys, *scored_keys;
  Box *boxes, *sorted_boxes;
  int *classes, *sorted_classes, *scored_classes;
  Header* header;
  Row* rows;
};

__device__ inline Work work_of(const Call& call, int image) {
  unsigned char* scratch = call.scratch + call.scratch_stride * image;
  unsigned char* result = call.result + call.result_stride * image;
  Work work;
  work.counters = (Counters*)scratch;
  work.cut = (Key*)(scratch + 16);
  work.kept_boxes = (Box*)(scratch + 256);
  work.kept_classes = (int*)(work.kept_boxes + MOST_DETECTIONS);
  work.keys = (Key*)(scratch + call.keys);
  work.boxes = (Box*)(scratch + call.boxes);
  work.classes = (int*)(scratch + call.classes);
  work.sorted_keys = (Key*)(scratch + call.sorted_keys);
  work.sorted_boxes = (Box*)(scratch + call.sorted_boxes);
  work.sorted_classes = (int*)(scratch + call.sorted_classes);
  work.scored_keys = (Key*)(scratch + call.scored_keys);
  work.scored_classes = (int*)(scratch + call.scored_classes);
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
  work.boxes[place] = box;
  work.classes[place] = class_id;
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

// ANCHORS * SHARES threads. Neighbouring threads read neighbouring numbers: of different anchors
// where those are the last axis, of different classes where those are.
template <typename T, int ANCHORS, int SHARES, bool ANCHORS_LAST>
__device__ inline void scores(const Call& call) {
  __shared__ Best shares[ANCHORS * SHARES];
  const int thread = threadIdx.x, image = blockIdx.y;
  const int local = ANCHORS_LAST ? thread % ANCHORS : thread / SHARES;
  const int share = ANCHORS_LAST ? thread / ANCHORS : thread % SHARES;
  const int anchor = blockIdx.x * ANCHORS + local;
  if (anchor < call.anchors)
    shares[local * SHARES + share] = best_of<T>(call, image, anchor, share, SHARES);
  __syncthreads();
  if (share != 0 || anchor >= call.anchors) return;
  Best best = shares[local * SHARES];
  for (int other = 1; other < SHARES; ++other) merge(best, shares[local * SHARES + other]);
  if (!best.sound || !(best.score >= call.score && is_finite(best.score))) return;
  const Key key = key_of(best.score, anchor);
  if (call.anchors <= call.most_candidates) {
    accept<T>(call, image, key, best.class_id);
    return;
  }
  const Work work = work_of(call, image);
  const int place = atomicAdd(&work.counters->scored, 1);
  work.scored_keys[place] = key;
  work.scored_classes[place] = best.class_id;
}

KERNEL(256, head_scores_float32, Call) { scores<float, 32, 8, true>(call); }
KERNEL(256, head_scores_float16, Call) { scores<Half, 32, 8, true>(call); }
KERNEL(256, head_scores_objectness_float32, Call) { scores<float, 8, 32, false>(call); }
KERNEL(256, head_scores_objectness_float16, Call) { scores<Half, 8, 32, false>(call); }

// The last key that may be a candidate, found digit by digit from the highest.
KERNEL(RADIX, head_cut, Call) {
  __shared__ int histogram[RADIX];
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
    histogram[thread] = 0;
    __syncthreads();
    const Key above = shift == 56 ? 0 : prefix >> (shift + 8);
    for (int i = thread; i < count; i += RADIX) {
      const Key key = work.scored_keys[i];
      if (shift == 56 || key >> (shift + 8) == above)
        atomicAdd(&histogram[(int)(key >> shift & 255)], 1);
    }
    __syncthreads();
    if (thread == 0) {
      int digit = 0;
      while (histogram[digit] < wanted) wanted -= histogram[digit++];
      prefix |= (Key)digit << shift;
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
  if (key <= *work.cut) accept<T>(call, blockIdx.y, key, work.scored_classes[place]);
}

KERNEL(256, head_accept_float32, Call) { accept_scored<float>(call); }
KERNEL(256, head_accept_float16, Call) { accept_scored<Half>(call); }

// The place of a candidate is the number of keys before its own.
KERNEL(BLOCK, head_rank, Call) {
  __shared__ Key others[BLOCK];
  const Work work = work_of(call, blockIdx.y);
  const int count = work.counters->accepted;
  if ((int)(blockIdx.x * BLOCK) >= count) return;
  const int place = blockIdx.x * BLOCK + threadIdx.x;
  const Key key = place < count ? work.keys[place] : 0;
  int rank = 0;
  for (int start = 0; start < count; start += BLOCK) {
    const int other = start + threadIdx.x;
    others[threadIdx.x] = other < count ? work.keys[other] : ~(Key)0;
    __syncthreads();
    for (int i = 0; i < BLOCK; ++i) rank += others[i] < key;
    __syncthreads();
  }
  if (place >= count) return;
  work.sorted_keys[rank] = key;
  work.sorted_boxes[rank] = work.boxes[place];
  work.sorted_classes[rank] = work.classes[place];
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
  const double shared = ((double)right - (double)left) * ((double)bottom - (double)top);
  return shared / (area(one) + area(other) - shared) > iou;
}

struct Block {
  Box boxes[BLOCK];
  int classes[BLOCK];
  unsigned int alive[BLOCK / 32];
  unsigned int suppressed[BLOCK][BLOCK / 32];  // by each box, those behind it
  int kept[BLOCK];
  int kept_count;
};

// Loads the boxes from `start` on, and takes out those that a kept one suppresses.
__device__ inline void load(const Call& call, const Work& work, Block& block, int start,
                            int count, int kept) {
  const int local = threadIdx.x % BLOCK, part = threadIdx.x / BLOCK;
  const int index = start + local;
  if (threadIdx.x < BLOCK / 32) block.alive[threadIdx.x] = 0;
  for (int i = threadIdx.x; i < BLOCK * BLOCK / 32; i += BLOCK * PARTS)
    block.suppressed[i / (BLOCK / 32)][i % (BLOCK / 32)] = 0;
  if (part == 0 && index < count) {
    block.boxes[local] = work.sorted_boxes[index];
    block.classes[local] = work.sorted_classes[index];
  }
  __syncthreads();
  const unsigned int bit = 1u << (local & 31);
  if (part == 0 && index < count) atomicOr(&block.alive[local >> 5], bit);
  __syncthreads();
  if (index < count) {
    const Box box = block.boxes[local];
    const int class_id = block.classes[local];
    for (int i = part; i < kept; i += PARTS) {
      if (work.kept_classes[i] == class_id && overlap(work.kept_boxes[i], box, call.iou)) {
        atomicAnd(&block.alive[local >> 5], ~bit);
        break;
      }
    }
  }
  __syncthreads();
}

// Finds for each box those behind it that it would suppress.
__device__ inline void compare(const Call& call, Block& block, int size) {
  const int local = threadIdx.x % BLOCK, part = threadIdx.x / BLOCK;
  if (local < size && block.alive[local >> 5] >> (local & 31) & 1) {
    const Box box = block.boxes[local];
    const int class_id = block.classes[local];
    for (int i = part; i < local; i += PARTS)
      if (block.classes[i] == class_id && overlap(block.boxes[i], box, call.iou))
        atomicOr(&block.suppressed[i][local >> 5], 1u << (local & 31));
  }
  __syncthreads();
}

// Goes through the boxes in order, one thread alone. It takes one step per box that is kept.
__device__ inline void choose(Block& block, int room) {
  if (threadIdx.x == 0) {
    int count = 0;
    for (int word = 0; word < BLOCK / 32; ++word) {
      while (block.alive[word] && count < room) {
        const int bit = __ffs((int)block.alive[word]) - 1;
        const int local = word * 32 + bit;
        block.kept[count++] = local;
        block.alive[word] &= ~(1u << bit);
        for (int i = word; i < BLOCK / 32; ++i) block.alive[i] &= ~block.suppressed[local][i];
      }
    }
    block.kept_count = count;
  }
  __syncthreads();
}

KERNEL(BLOCK * PARTS, head_suppress, Call) {
  __shared__ Block block;
  const int image = blockIdx.x;
  const Work work = work_of(call, image);
  const int count = work.counters->accepted;
  int kept = 0;
  for (int start = 0; start < count && kept < call.max_detections; start += BLOCK) {
    load(call, work, block, start, count, kept);
    compare(call, block, least(count - start, BLOCK));
    choose(block, call.max_detections - kept);
    const int added = block.kept_count;
    if ((int)threadIdx.x < added) {
      const int local = block.kept[threadIdx.x], place = kept + threadIdx.x;
      const Key key = work.sorted_keys[start + local];
      const Box box = block.boxes[local];
      work.kept_boxes[place] = box;
      work.kept_classes[place] = block.classes[local];
      Row row;
      row.box = in_source(box, call.images[image]);
      row.score = score_of(key);
      row.class_id = block.classes[local];
      row.anchor = (int)(unsigned int)key;
      row.unused = 0;
      work.rows[place] = row;
    }
    kept += added;
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
