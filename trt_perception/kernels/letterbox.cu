// Camera images to the network's input in one pass: colour, resize, padding, normalisation,
// channels first. Equal to preprocessing/colour.py followed by preprocessing/preprocessor.py.
//
// Resizing repeats OpenCV's bilinear interpolation of 8-bit images: weights of 11 bits, sums
// along x with 19 bits, of which 4 are dropped before y. Halving and odd reductions, for which
// OpenCV and letterbox.py have ways of their own, come out the same by this one.

#include "colour.cuh"

#define MOST_IMAGES 32
#define COLUMNS 32
#define ROWS 8
#define PADDING 256  // stands behind the grey levels
#define LEVELS 257

struct Image {
  Pixels pixels;
  double step_x, step_y;  // source pixels per network pixel
  int left, top, columns, rows;  // where the image lies in the network's input
};

struct Call {
  void* tensor;        // [batch, 3, height, width]
  const void* levels;  // [3, 257], what becomes of each grey level in each channel, and padding
  int width, height;
  int rgb;  // order of the channels
  int unused;
  Image images[MOST_IMAGES];
};

// The two source pixels of one network pixel along an axis, and their weights.
struct Taps {
  int lower, upper;
  int lower_weight, upper_weight;
};

__device__ inline Taps taps_of(int position, double step, int count, bool clamped) {
  float fraction = (float)((position + 0.5) * step - 0.5);
  int lower = (int)floorf(fraction);
  fraction -= (float)lower;
  if (clamped && (lower < 0 || lower >= count - 1)) {
    fraction = 0.0f;
    lower = between(lower, 0, count - 1);
  }
  Taps taps;
  taps.lower = between(lower, 0, count - 1);
  taps.upper = between(lower + 1, 0, count - 1);
  taps.lower_weight = __float2int_rn((1.0f - fraction) * 2048.0f);
  taps.upper_weight = __float2int_rn(fraction * 2048.0f);
  return taps;
}

__device__ inline int blended(int a, int b, int c, int d, const Taps& x, const Taps& y) {
  const int upper = a * x.lower_weight + b * x.upper_weight;
  const int lower = c * x.lower_weight + d * x.upper_weight;
  return ((y.lower_weight * (upper >> 4) >> 16) + (y.upper_weight * (lower >> 4) >> 16) + 2) >> 2;
}

template <typename Level>
__device__ inline void letterbox(const Call& call) {
  __shared__ Taps across[COLUMNS], down[ROWS];
  const Image& image = call.images[blockIdx.z];
  const int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
  const int column = x - image.left, row = y - image.top;
  // OpenCV drops the second tap beyond the rim along x only. Along y both taps meet in one row,
  // whose weights are rounded apart.
  if (threadIdx.y == 0)
    across[threadIdx.x] = taps_of(column, image.step_x, image.pixels.width, true);
  if (threadIdx.x == 0)
    down[threadIdx.y] = taps_of(row, image.step_y, image.pixels.height, false);
  __syncthreads();
  if (x >= call.width || y >= call.height) return;
  int first = PADDING, second = PADDING, third = PADDING;
  if (column >= 0 && column < image.columns && row >= 0 && row < image.rows) {
    const Taps h = across[threadIdx.x], v = down[threadIdx.y];
    const Colour a = colour_at(image.pixels, h.lower, v.lower);
    const Colour b = colour_at(image.pixels, h.upper, v.lower);
    const Colour c = colour_at(image.pixels, h.lower, v.upper);
    const Colour d = colour_at(image.pixels, h.upper, v.upper);
    const int blue = blended(a.blue, b.blue, c.blue, d.blue, h, v);
    const int red = blended(a.red, b.red, c.red, d.red, h, v);
    first = call.rgb ? red : blue;
    second = blended(a.green, b.green, c.green, d.green, h, v);
    third = call.rgb ? blue : red;
  }
  const Level* levels = (const Level*)call.levels;
  const long long plane = (long long)call.width * call.height;
  Level* out = (Level*)call.tensor + 3 * plane * blockIdx.z + (long long)y * call.width + x;
  out[0] = levels[first];
  out[plane] = levels[LEVELS + second];
  out[2 * plane] = levels[2 * LEVELS + third];
}

// Levels are only copied, so an integer of the same size stands for each type.
KERNEL(COLUMNS * ROWS, letterbox_float32, Call) { letterbox<unsigned int>(call); }
KERNEL(COLUMNS * ROWS, letterbox_float16, Call) { letterbox<unsigned short>(call); }
KERNEL(COLUMNS * ROWS, letterbox_uint8, Call) { letterbox<unsigned char>(call); }
