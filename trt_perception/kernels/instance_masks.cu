// Masks of instances from prototypes, and the image of their ids; decoding/instance_masks.py and
// Detections.id_image on the device.
//
// Launched in this order, all images of a batch at once, behind the kernels of dense_head.cu:
//   mask_axes    how the source's pixels lie in the prototypes' cells
//   mask_cuts    where the mask of each object goes in the arena
//   mask_draw_*  the masks, one byte a pixel
//   mask_ids     0, or 1 + the number of the best object that has the pixel
//
// A logit is the sum of coefficient times prototype in the order of the channels, product and sum
// rounded one after the other, as NumPy's einsum does on x86-64. Where NumPy sums in another
// order or fuses, pixels whose logit is 0 but for rounding may differ.

#include "grid_axes.cuh"

#define MOST_IMAGES 16
#define MOST_DETECTIONS 1024
#define MOST_CHANNELS 256
#define MOST_CELLS 1024  // of a tile, whose logits are computed once
#define COLUMNS 64       // of a tile
#define ROWS 16
#define THREADS 256

// As in dense_head.cu.
struct alignas(16) Row {
  float x1, y1, x2, y2;
  float score;
  int class_id, anchor, unused;
};

struct Header {
  int count, candidates;
  int unused[6];
};

// Where the mask of an object lies in the source image and in the arena; without a box's pixels
// width and height are 0.
struct alignas(16) Cut {
  int x, y, width, height;
  long long offset;  // -1 where the arena has no room
  int first_tile, unused;
};

// What all masks of an image need.
struct alignas(16) Total {
  long long bytes;  // of the arena; more than it has where it is too small
  long long room;   // what it has
  int tiles, unused;
};

struct Image {
  Grid grid;
  const void* prototypes;    // [channels, cells, cells]
  const void* coefficients;  // of channel 0 and anchor 0
  const Header* objects;     // the head's result
  Total* total;
  Cut* cuts;
  unsigned char* arena;
  unsigned short* ids;  // [height, width]
  long long arena_bytes;
};

struct Call {
  int channels, anchor_stride, value_stride, unused;
  Image images[MOST_IMAGES];
};

__device__ inline const Row* rows_of(const Image& image) { return (const Row*)(image.objects + 1); }

// The first pixel whose centre does not lie before a box's edge.
__device__ inline int first_pixel(float edge) { return (int)ceilf(edge - 0.5f); }

__device__ inline int tiles_of(const Cut& cut) {
  if (cut.offset < 0) return 0;
  return (cut.width + COLUMNS - 1) / COLUMNS * ((cut.height + ROWS - 1) / ROWS);
}

KERNEL(THREADS, mask_axes, Call) {
  write_places(call.images[blockIdx.y].grid, blockIdx.x * THREADS + threadIdx.x);
}

KERNEL(THREADS, mask_cuts, Call) {
  const Image& image = call.images[blockIdx.x];
  const int count = image.objects->count;
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const Row& row = rows_of(image)[i];
    Cut cut;
    cut.x = first_pixel(row.x1);
    cut.y = first_pixel(row.y1);
    cut.width = first_pixel(row.x2) - cut.x;
    cut.height = first_pixel(row.y2) - cut.y;
    if (cut.width <= 0 || cut.height <= 0) cut.width = cut.height = 0;
    cut.offset = 0;
    cut.first_tile = cut.unused = 0;
    image.cuts[i] = cut;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  Total total = {0, image.arena_bytes, 0, 0};
  for (int i = 0; i < count; ++i) {
    Cut cut = image.cuts[i];
    const long long bytes = ((long long)cut.width * cut.height + 15) / 16 * 16;
    cut.offset = total.bytes + bytes <= image.arena_bytes ? total.bytes : -1;
    cut.first_tile = total.tiles;
    total.bytes += bytes;
    total.tiles += tiles_of(cut);
    image.cuts[i] = cut;
  }
  *image.total = total;
}

// The last object whose tiles begin at or before `tile`.
__device__ inline int object_of(const Image& image, int count, int tile) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (image.cuts[middle].first_tile <= tile)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

template <typename T>
__device__ inline float logit_of(const Call& call, const Image& image, const float* coefficients,
                                 int row, int column) {
  const T* prototypes = (const T*)image.prototypes;
  const long long plane = (long long)image.grid.x.cells * image.grid.y.cells;
  const long long cell = (long long)row * image.grid.x.cells + column;
  float sum = 0.0f;
  for (int channel = 0; channel < call.channels; ++channel)
    sum += coefficients[channel] * number(prototypes[channel * plane + cell]);
  return is_finite(sum) ? sum : -1e30f;
}

// The cells of one tile, and their logits where these are few enough.
struct Tile {
  float coefficients[MOST_CHANNELS];
  float logits[MOST_CELLS];
  int first_row, first_column, columns, cells;
};

template <typename T>
__device__ inline float tile_logit(const Call& call, const Image& image, const Tile& tile, int row,
                                   int column) {
  if (tile.cells > MOST_CELLS) return logit_of<T>(call, image, tile.coefficients, row, column);
  return tile.logits[(row - tile.first_row) * tile.columns + column - tile.first_column];
}

template <typename T>
__device__ inline bool claims(const Call& call, const Image& image, const Tile& tile,
                              const Place& x, const Place& y) {
  const float upper_left = tile_logit<T>(call, image, tile, y.lower, x.lower);
  const float upper_right = tile_logit<T>(call, image, tile, y.lower, x.upper);
  const float lower_left = tile_logit<T>(call, image, tile, y.upper, x.lower);
  const float lower_right = tile_logit<T>(call, image, tile, y.upper, x.upper);
  const float above = upper_left + (upper_right - upper_left) * x.fraction;
  const float below = lower_left + (lower_right - lower_left) * x.fraction;
  return (below - above) * y.fraction > -above;
}

template <typename T>
__device__ inline void draw_tile(const Call& call, const Image& image, Tile& tile, int object,
                                 int number_of_tile) {
  const Cut cut = image.cuts[object];
  const Place* columns = image.grid.places;
  const Place* rows = columns + image.grid.x.pixels;
  const int across = (cut.width + COLUMNS - 1) / COLUMNS;
  const int x0 = number_of_tile % across * COLUMNS, y0 = number_of_tile / across * ROWS;
  const int x1 = least(x0 + COLUMNS, cut.width), y1 = least(y0 + ROWS, cut.height);
  const int anchor = rows_of(image)[object].anchor;
  for (int channel = threadIdx.x; channel < call.channels; channel += THREADS) {
    const long long place = (long long)anchor * call.anchor_stride +
                            (long long)channel * call.value_stride;
    tile.coefficients[channel] = number(((const T*)image.coefficients)[place]);
  }
  if (threadIdx.x == 0) {
    tile.first_row = rows[cut.y + y0].lower;
    tile.first_column = columns[cut.x + x0].lower;
    tile.columns = columns[cut.x + x1 - 1].upper - tile.first_column + 1;
    tile.cells = tile.columns * (rows[cut.y + y1 - 1].upper - tile.first_row + 1);
  }
  __syncthreads();
  if (tile.cells <= MOST_CELLS)
    for (int cell = threadIdx.x; cell < tile.cells; cell += THREADS)
      tile.logits[cell] =
          logit_of<T>(call, image, tile.coefficients, tile.first_row + cell / tile.columns,
                      tile.first_column + cell % tile.columns);
  __syncthreads();
  for (int pixel = threadIdx.x; pixel < COLUMNS * ROWS; pixel += THREADS) {
    const int x = x0 + pixel % COLUMNS, y = y0 + pixel / COLUMNS;
    if (x >= x1 || y >= y1) continue;
    image.arena[cut.offset + (long long)y * cut.width + x] =
        claims<T>(call, image, tile, columns[cut.x + x], rows[cut.y + y]);
  }
  __syncthreads();
}

// As many blocks as are worth while share the tiles of all objects.
template <typename T>
__device__ inline void draw(const Call& call) {
  __shared__ Tile tile;
  const Image& image = call.images[blockIdx.y];
  const int count = image.objects->count, tiles = image.total->tiles;
  for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
    const int object = object_of(image, count, i);
    draw_tile<T>(call, image, tile, object, i - image.cuts[object].first_tile);
  }
}

KERNEL(THREADS, mask_draw_float32, Call) { draw<float>(call); }
KERNEL(THREADS, mask_draw_float16, Call) { draw<Half>(call); }

__device__ inline bool has(const Image& image, const Cut& cut, int x, int y) {
  const int column = x - cut.x, row = y - cut.y;
  if (column < 0 || row < 0 || column >= cut.width || row >= cut.height) return false;
  return image.arena[cut.offset + (long long)row * cut.width + column] != 0;
}

KERNEL(THREADS, mask_ids, Call) {
  __shared__ unsigned int here[MOST_DETECTIONS / 32];  // objects whose boxes meet the tile
  const Image& image = call.images[blockIdx.z];
  const int width = image.grid.x.pixels, height = image.grid.y.pixels;
  const int x0 = blockIdx.x * COLUMNS, y0 = blockIdx.y * ROWS;
  if (x0 >= width || y0 >= height) return;
  const int count = image.objects->count;
  for (int word = threadIdx.x; word < MOST_DETECTIONS / 32; word += THREADS) here[word] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const Cut& cut = image.cuts[i];
    if (cut.offset >= 0 && cut.x < x0 + COLUMNS && cut.x + cut.width > x0 && cut.y < y0 + ROWS &&
        cut.y + cut.height > y0)
      atomicOr(&here[i >> 5], 1u << (i & 31));
  }
  __syncthreads();
  for (int pixel = threadIdx.x; pixel < COLUMNS * ROWS; pixel += THREADS) {
    const int x = x0 + pixel % COLUMNS, y = y0 + pixel / COLUMNS;
    if (x >= width || y >= height) continue;
    int id = 0;
    for (int word = 0; word <= (count - 1) >> 5 && id == 0; ++word)
      for (unsigned int left = here[word]; left && id == 0; left &= left - 1) {
        const int object = word * 32 + __ffs((int)left) - 1;
        if (has(image, image.cuts[object], x, y)) id = object + 1;
      }
    image.ids[(long long)y * width + x] = (unsigned short)id;
  }
}
