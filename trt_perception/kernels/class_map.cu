// The class of every source pixel, and its colour; decoding/class_map.py on the device.
//
// Launched in this order, all images of a batch at once:
//   class_axes      how the source's pixels lie in the grid's cells
//   class_labels_*  for logits: the best class of each cell
//   class_map_*     ids and colours at the source's size

#include "grid_axes.cuh"

#define MOST_IMAGES 16
#define UNLABELLED 255
#define COLUMNS 128  // of a tile; each thread has four in a row
#define ROWS 8
#define THREADS 256

struct Image {
  Grid grid;
  const void* cells;      // logits [classes, h, w], or class ids [h, w]
  unsigned char* labels;  // [h, w], of logits
  unsigned char* ids;     // [H, W]
  unsigned char* colours; // rgb [H, W, 3], or null
};

struct Call {
  const unsigned char* palette;  // rgb [256, 3]
  int classes, unused;
  unsigned int wanted[8];  // a bit for each class
  Image images[MOST_IMAGES];
};

KERNEL(THREADS, class_axes, Call) {
  write_places(call.images[blockIdx.y].grid, blockIdx.x * THREADS + threadIdx.x);
}

__device__ inline int admitted(const Call& call, int class_id) {
  return call.wanted[class_id >> 5] >> (class_id & 31) & 1 ? class_id : UNLABELLED;
}

// A cell one of whose logits is not finite has no class. Nor has one whose logits' sum is not.
template <typename T>
__device__ inline void label(const Call& call) {
  const Image& image = call.images[blockIdx.y];
  const int plane = image.grid.x.cells * image.grid.y.cells;
  const int cell = blockIdx.x * THREADS + threadIdx.x;
  if (cell >= plane) return;
  const T* logits = (const T*)image.cells + cell;
  float best = number(logits[0]), sum = best;
  int label = 0;
  for (int class_id = 1; class_id < call.classes; ++class_id) {
    const float logit = number(logits[(long long)class_id * plane]);
    sum += logit;
    if (logit > best) {
      best = logit;
      label = class_id;
    }
  }
  image.labels[cell] = is_finite(sum) ? label : UNLABELLED;
}

KERNEL(THREADS, class_labels_float32, Call) { label<float>(call); }
KERNEL(THREADS, class_labels_float16, Call) { label<Half>(call); }

// The first class with the highest logit, interpolated between four cells.
template <typename T>
__device__ inline int interpolated(const Call& call, const Image& image, const Place& x,
                                   const Place& y) {
  const int width = image.grid.x.cells;
  const long long plane = (long long)width * image.grid.y.cells;
  const T* upper = (const T*)image.cells + (long long)y.lower * width;
  const T* lower = (const T*)image.cells + (long long)y.upper * width;
  float best = 0.0f;
  int label = 0;
  for (int class_id = 0; class_id < call.classes; ++class_id) {
    const float upper_left = number(upper[x.lower]), upper_right = number(upper[x.upper]);
    const float lower_left = number(lower[x.lower]), lower_right = number(lower[x.upper]);
    const float above = upper_left + (upper_right - upper_left) * x.fraction;
    const float below = lower_left + (lower_right - lower_left) * x.fraction;
    const float value = (below - above) * y.fraction + above;
    if (value != value) return UNLABELLED;
    if (class_id == 0 || value > best) {
      best = value;
      label = class_id;
    }
    upper += plane;
    lower += plane;
  }
  return label;
}

// Between four cells of one class that class wins; only where they differ is there work to do.
template <typename T>
struct FromLogits {
  __device__ static int id_at(const Call& call, const Image& image, const Place& x,
                              const Place& y) {
    const int width = image.grid.x.cells;
    const unsigned char* upper = image.labels + (long long)y.lower * width;
    const unsigned char* lower = image.labels + (long long)y.upper * width;
    const int label = upper[x.lower], right = upper[x.upper];
    const int below = lower[x.lower], across = lower[x.upper];
    if (label == right && label == below && label == across) return admitted(call, label);
    if (greatest(greatest(label, right), greatest(below, across)) == UNLABELLED)
      return UNLABELLED;
    return admitted(call, interpolated<T>(call, image, x, y));
  }
};

template <typename Id>
struct FromIds {
  __device__ static int id_at(const Call& call, const Image& image, const Place& x,
                              const Place& y) {
    const Id* ids = (const Id*)image.cells;
    const long long id = (long long)ids[(long long)y.nearest * image.grid.x.cells + x.nearest];
    return admitted(call, id >= 0 && id < UNLABELLED ? (int)id : UNLABELLED);
  }
};

__device__ inline void write_four(unsigned char* out, const int* bytes) {
  *(unsigned int*)out = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (unsigned int)bytes[3] << 24;
}

__device__ inline void write_colours(unsigned char* out, const unsigned char* palette,
                                     const int* ids, int count, bool aligned) {
  int levels[12];
  for (int i = 0; i < count; ++i)
    for (int channel = 0; channel < 3; ++channel)
      levels[3 * i + channel] = palette[3 * ids[i] + channel];
  if (aligned) {
    for (int i = 0; i < 12; i += 4) write_four(out + i, levels + i);
    return;
  }
  for (int i = 0; i < 3 * count; ++i) out[i] = (unsigned char)levels[i];
}

template <typename Source>
__device__ inline void class_map(const Call& call) {
  __shared__ unsigned char palette[768];
  const Image& image = call.images[blockIdx.z];
  const int width = image.grid.x.pixels, height = image.grid.y.pixels;
  if ((int)blockIdx.x * COLUMNS >= width || (int)blockIdx.y * ROWS >= height) return;
  if (image.colours)
    for (int i = threadIdx.x; i < 768; i += THREADS) palette[i] = call.palette[i];
  __syncthreads();
  const int x = blockIdx.x * COLUMNS + threadIdx.x % (COLUMNS / 4) * 4;
  const int y = blockIdx.y * ROWS + threadIdx.x / (COLUMNS / 4);
  if (x >= width || y >= height) return;
  const Place row = image.grid.places[width + y];
  const int count = least(4, width - x);
  const bool aligned = (width & 3) == 0;
  int ids[4];
  for (int i = 0; i < count; ++i)
    ids[i] = Source::id_at(call, image, image.grid.places[x + i], row);
  const long long pixel = (long long)y * width + x;
  if (aligned)
    write_four(image.ids + pixel, ids);
  else
    for (int i = 0; i < count; ++i) image.ids[pixel + i] = (unsigned char)ids[i];
  if (image.colours) write_colours(image.colours + 3 * pixel, palette, ids, count, aligned);
}

KERNEL(THREADS, class_map_float32, Call) { class_map<FromLogits<float>>(call); }
KERNEL(THREADS, class_map_float16, Call) { class_map<FromLogits<Half>>(call); }
KERNEL(THREADS, class_map_int8, Call) { class_map<FromIds<signed char>>(call); }
KERNEL(THREADS, class_map_uint8, Call) { class_map<FromIds<unsigned char>>(call); }
KERNEL(THREADS, class_map_int16, Call) { class_map<FromIds<short>>(call); }
KERNEL(THREADS, class_map_uint16, Call) { class_map<FromIds<unsigned short>>(call); }
KERNEL(THREADS, class_map_int32, Call) { class_map<FromIds<int>>(call); }
KERNEL(THREADS, class_map_uint32, Call) { class_map<FromIds<unsigned int>>(call); }
KERNEL(THREADS, class_map_int64, Call) { class_map<FromIds<long long>>(call); }
