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
#define STAGED 2048      // numbers of prototypes that are read at once
#define COLUMNS 64       // of a tile
#define ROWS 16
#define THREADS 256
#define EACH (MOST_DETECTIONS / THREADS)   // objects of a thread
#define PIXELS (COLUMNS * ROWS / THREADS)  // of a tile and a thread

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

__device__ inline Cut cut_of(const Row& row) {
  Cut cut;
  cut.x = first_pixel(row.x1);
  cut.y = first_pixel(row.y1);
  cut.width = first_pixel(row.x2) - cut.x;
  cut.height = first_pixel(row.y2) - cut.y;
  if (cut.width <= 0 || cut.height <= 0) cut.width = cut.height = 0;
  cut.offset = 0;
  cut.first_tile = cut.unused = 0;
  return cut;
}

__device__ inline long long bytes_of(const Cut& cut) {
  return ((long long)cut.width * cut.height + 15) / 16 * 16;
}

// The sum of a thread's number and those of the threads before it; the first `used` have one.
template <typename Number>
__device__ inline Number added_up(Number* sums, Number own, int used) {
  const int thread = threadIdx.x;
  sums[thread] = own;
  for (int step = 1; step < used; step *= 2) {
    __syncthreads();
    const Number lower = thread >= step ? sums[thread - step] : 0;
    __syncthreads();
    sums[thread] += lower;
  }
  return sums[thread];
}

KERNEL(THREADS, mask_cuts, Call) {
  __shared__ long long bytes[THREADS];
  __shared__ int tiles[THREADS];
  const Image& image = call.images[blockIdx.x];
  const int count = image.objects->count, used = (count + EACH - 1) / EACH;
  const int first = EACH * threadIdx.x, mine = between(count - first, 0, EACH);
  Cut cuts[EACH];
  long long own = 0;
  for (int i = 0; i < mine; ++i) {
    cuts[i] = cut_of(rows_of(image)[first + i]);
    own += bytes_of(cuts[i]);
  }
  long long end = added_up(bytes, own, used) - own;
  int own_tiles = 0;
  for (int i = 0; i < mine; ++i) {
    const long long begin = end;
    end += bytes_of(cuts[i]);
    cuts[i].offset = end <= image.arena_bytes ? begin : -1;
    cuts[i].first_tile = own_tiles;
    own_tiles += tiles_of(cuts[i]);
  }
  const int end_tile = added_up(tiles, own_tiles, used);
  for (int i = 0; i < mine; ++i) {
    cuts[i].first_tile += end_tile - own_tiles;
    image.cuts[first + i] = cuts[i];
  }
  if ((int)threadIdx.x == greatest(used - 1, 0)) {
    const Total total = {end, image.arena_bytes, end_tile, 0};
    *image.total = total;
  }
}

// The last object whose tiles begin at or before `tile`.
__device__ inline int object_of(const int* first_tiles, int count, int tile) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (first_tiles[middle] <= tile)
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
  float staged[STAGED];
  int first_tiles[MOST_DETECTIONS];
  Place across[COLUMNS], down[ROWS];
  int first_row, first_column, columns, cells;
};

template <typename T>
__device__ inline float tile_logit(const Call& call, const Image& image, const Tile& tile, int row,
                                   int column) {
  if (tile.cells > MOST_CELLS) return logit_of<T>(call, image, tile.coefficients, row, column);
  return tile.logits[(row - tile.first_row) * tile.columns + column - tile.first_column];
}

// What the logits of a column of pixels between two rows of cells are: above + slope * fraction.
struct Line {
  float above, slope;
};

template <typename T>
__device__ inline Line line_of(const Call& call, const Image& image, const Tile& tile,
                               const Place& x, const Place& y) {
  const float upper_left = tile_logit<T>(call, image, tile, y.lower, x.lower);
  const float upper_right = tile_logit<T>(call, image, tile, y.lower, x.upper);
  const float lower_left = tile_logit<T>(call, image, tile, y.upper, x.lower);
  const float lower_right = tile_logit<T>(call, image, tile, y.upper, x.upper);
  Line line;
  line.above = upper_left + (upper_right - upper_left) * x.fraction;
  line.slope = lower_left + (lower_right - lower_left) * x.fraction - line.above;
  return line;
}

// The logits of all cells, by `logit_of`. All threads read prototypes, some channels at a time;
// then one for each cell adds them up.
template <typename T>
__device__ inline void fill_logits(const Call& call, const Image& image, Tile& tile) {
  const int width = image.grid.x.cells, plane = width * image.grid.y.cells;
  const T* first = (const T*)image.prototypes + (long long)tile.first_row * width +
                   tile.first_column;
  const int cells = tile.cells, at_once = STAGED / cells;
  // So many threads, a power of two, read one channel after the other.
  int group = 32;
  while (group < cells && group < THREADS) group *= 2;
  const int share = threadIdx.x / group, shares = THREADS / group;
  for (int begin = 0; begin < call.channels; begin += at_once) {
    const int channels = least(at_once, call.channels - begin);
    for (int cell = threadIdx.x % group; cell < cells; cell += group) {
      const T* prototypes = first + (long long)(cell / tile.columns) * width + cell % tile.columns;
#pragma unroll 4
      for (int i = share; i < channels; i += shares)
        tile.staged[i * cells + cell] = number(prototypes[(long long)(begin + i) * plane]);
    }
    __syncthreads();
    for (int cell = threadIdx.x; cell < cells; cell += THREADS) {
      float sum = begin ? tile.logits[cell] : 0.0f;
#pragma unroll 8
      for (int i = 0; i < channels; ++i)
        sum += tile.coefficients[begin + i] * tile.staged[i * cells + cell];
      const bool complete = begin + channels == call.channels;
      tile.logits[cell] = complete && !is_finite(sum) ? -1e30f : sum;
    }
    __syncthreads();
  }
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
  const int thread = threadIdx.x;
  if (thread < x1 - x0) tile.across[thread] = columns[cut.x + x0 + thread];
  if (thread >= COLUMNS && thread < COLUMNS + y1 - y0)
    tile.down[thread - COLUMNS] = rows[cut.y + y0 + thread - COLUMNS];
  __syncthreads();
  if (thread == 0) {
    tile.first_row = tile.down[0].lower;
    tile.first_column = tile.across[0].lower;
    tile.columns = tile.across[x1 - x0 - 1].upper - tile.first_column + 1;
    tile.cells = tile.columns * (tile.down[y1 - y0 - 1].upper - tile.first_row + 1);
  }
  __syncthreads();
  if (tile.cells <= MOST_CELLS) fill_logits<T>(call, image, tile);
  // A thread draws pixels below each other.
  const int x = x0 + threadIdx.x % COLUMNS, first = y0 + threadIdx.x / COLUMNS * PIXELS;
  if (x < x1) {
    const Place column = tile.across[x - x0];
    unsigned char* out = image.arena + cut.offset + x;
    Line line = {0.0f, 0.0f};
    int lower = -1;
    for (int y = first; y < least(first + PIXELS, y1); ++y) {
      const Place row = tile.down[y - y0];
      if (row.lower != lower) line = line_of<T>(call, image, tile, column, row);
      lower = row.lower;
      out[(long long)y * cut.width] = line.slope * row.fraction > -line.above;
    }
  }
  __syncthreads();
}

// As many blocks as are worth while share the tiles of all objects.
template <typename T>
__device__ inline void draw(const Call& call) {
  __shared__ Tile tile;
  const Image& image = call.images[blockIdx.y];
  const int count = image.objects->count, tiles = image.total->tiles;
  if ((int)blockIdx.x >= tiles) return;
  for (int i = threadIdx.x; i < count; i += THREADS)
    tile.first_tiles[i] = image.cuts[i].first_tile;
  __syncthreads();
  for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
    const int object = object_of(tile.first_tiles, count, i);
    draw_tile<T>(call, image, tile, object, i - tile.first_tiles[object]);
  }
}

KERNEL(THREADS, mask_draw_float32, Call) { draw<float>(call); }
KERNEL(THREADS, mask_draw_float16, Call) { draw<Half>(call); }

__device__ inline bool meets(const Cut& cut, int x0, int y0) {
  return cut.offset >= 0 && cut.x < x0 + COLUMNS && cut.x + cut.width > x0 && cut.y < y0 + ROWS &&
         cut.y + cut.height > y0;
}

// The objects whose boxes meet a tile, in their order.
struct Here {
  unsigned int bits[MOST_DETECTIONS / 32];
  int objects[MOST_DETECTIONS];
  int count;
};

__device__ inline void find_objects(const Image& image, int count, int x0, int y0, Here& here) {
  const int words = (count + 31) / 32;
  for (int word = threadIdx.x; word < words; word += THREADS) here.bits[word] = 0;
  if (threadIdx.x == 0) here.count = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += THREADS)
    if (meets(image.cuts[i], x0, y0)) atomicOr(&here.bits[i >> 5], 1u << (i & 31));
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const unsigned int bits = here.bits[i >> 5];
    if (!(bits >> (i & 31) & 1)) continue;
    int place = __popc(bits & ((1u << (i & 31)) - 1));
    for (int word = 0; word < i >> 5; ++word) place += __popc(here.bits[word]);
    here.objects[place] = i;
    atomicAdd(&here.count, 1);
  }
  __syncthreads();
}

KERNEL(THREADS, mask_ids, Call) {
  __shared__ Here here;
  const Image& image = call.images[blockIdx.z];
  const int width = image.grid.x.pixels, height = image.grid.y.pixels;
  const int x0 = blockIdx.x * COLUMNS, y0 = blockIdx.y * ROWS;
  if (x0 >= width || y0 >= height) return;
  find_objects(image, image.objects->count, x0, y0, here);
  const int x = x0 + threadIdx.x % COLUMNS, y = y0 + threadIdx.x / COLUMNS;
  const int apart = THREADS / COLUMNS;  // rows from one pixel of a thread to the next
  int ids[PIXELS] = {};
  for (int i = 0; i < here.count; ++i) {
    const int object = here.objects[i];
    const Cut cut = image.cuts[object];
    const int column = x - cut.x;
    if (column < 0 || column >= cut.width) continue;
    const unsigned char* mask = image.arena + cut.offset + column;
    for (int k = 0; k < PIXELS; ++k) {
      const int row = y + k * apart - cut.y;
      if (row < 0 || row >= cut.height) continue;
      if (mask[(long long)row * cut.width] && ids[k] == 0) ids[k] = object + 1;
    }
  }
  if (x >= width) return;
  for (int k = 0; k < PIXELS; ++k) {
    const int row = y + k * apart;
    if (row < height) image.ids[(long long)row * width + x] = (unsigned short)ids[k];
  }
}
