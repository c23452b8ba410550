// The class of every source pixel, and its colour; decoding/class_map.py on the device.
//
// Launched in this order, all images of a batch at once:
//   class_labels_*   for logits: the best class of each cell
//   class_squares_*  for logits: which classes may win between each four neighbouring cells
//   class_axes       for ids; for logits it is part of class_labels: how the source's pixels lie
//                    in the grid's cells
//   class_map_*      ids and colours at the source's size
//
// A square is what lies between the centres of four neighbouring cells. Between four cells of one
// class that class wins. Elsewhere logits are interpolated, but only those of classes that may
// win: not of one that lies so far below another one at all four corners that no rounding makes
// up for it.

#include "grid_axes.cuh"

#define MOST_IMAGES 16
#define UNLABELLED 255
#define CONTESTED 256  // a square of several classes, whose candidates are noted
#define WILD 257       // one whose logits may overflow when they are interpolated
#define COLUMNS 64     // of a tile
#define ROWS 16
#define THREADS 256
#define FEW 64         // threads of a block that looks at cells, which may be few
#define SPAN 4         // pixels below each other that one thread interpolates at once

struct Image {
  Grid grid;
  const void* cells;         // logits [classes, h, w], or class ids [h, w]
  unsigned char* labels;     // of each cell of logits
  float* sizes;              // of the greatest logit of each cell
  unsigned short* squares;   // label of each, or one of the two above
  unsigned int* candidates;  // [words, squares], a bit for each class
  unsigned char* ids;        // [H, W]
  unsigned char* colours;    // rgb [H, W, 3], or null
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

__device__ inline int squares_across(const Grid& grid) { return greatest(grid.x.cells - 1, 1); }
__device__ inline int squares_of(const Grid& grid) {
  return squares_across(grid) * greatest(grid.y.cells - 1, 1);
}

// The logits of one class at the corners of a square.
struct Corners {
  float values[4];
};

template <typename T>
struct Square {
  const T* first;  // of class 0
  int right, below, plane;

  __device__ Square(const Image& image, int column, int row) {
    const int width = image.grid.x.cells;
    first = (const T*)image.cells + (long long)row * width + column;
    right = width > 1 ? 1 : 0;
    below = image.grid.y.cells > 1 ? width : 0;
    plane = width * image.grid.y.cells;
  }

  __device__ Corners corners(int class_id) const {
    const T* logits = first + (long long)class_id * plane;
    return {{number(logits[0]), number(logits[right]), number(logits[below]),
             number(logits[below + right])}};
  }
};

// A cell one of whose logits is not finite has no class. Nor has one whose logits' sum is not.
template <typename T>
__device__ inline void label_cells(const Call& call) {
  const Image& image = call.images[blockIdx.y];
  const int plane = image.grid.x.cells * image.grid.y.cells;
  const int cell = blockIdx.x * FEW + threadIdx.x;
  if (cell >= plane) {
    write_places(image.grid, cell - plane);
    return;
  }
  const T* logits = (const T*)image.cells + cell;
  float best = number(logits[0]), sum = best, size = fabsf(best);
  int label = 0;
#pragma unroll 8
  for (int class_id = 1; class_id < call.classes; ++class_id) {
    const float logit = number(logits[(long long)class_id * plane]);
    sum += logit;
    size = greatest(size, fabsf(logit));
    if (logit > best) {
      best = logit;
      label = class_id;
    }
  }
  image.labels[cell] = (unsigned char)(is_finite(sum) ? label : UNLABELLED);
  image.sizes[cell] = size;
}

KERNEL(FEW, class_labels_float32, Call) { label_cells<float>(call); }
KERNEL(FEW, class_labels_float16, Call) { label_cells<Half>(call); }

// What the corners of a square are.
struct Winners {
  int labels[4];
  float most;  // the greatest size of any logit
};

template <typename T>
__device__ inline Winners winners_of(const Image& image, const Square<T>& square, int cell) {
  const int corners[4] = {cell, cell + square.right, cell + square.below,
                          cell + square.below + square.right};
  Winners winners;
  winners.most = 0.0f;
  for (int i = 0; i < 4; ++i) {
    winners.labels[i] = image.labels[corners[i]];
    winners.most = greatest(winners.most, image.sizes[corners[i]]);
  }
  return winners;
}

__device__ inline int label_of(const Winners& winners) {
  const int* labels = winners.labels;
  if (labels[0] == labels[1] && labels[0] == labels[2] && labels[0] == labels[3])
    return labels[0];
  if (greatest(greatest(labels[0], labels[1]), greatest(labels[2], labels[3])) == UNLABELLED)
    return UNLABELLED;
  return winners.most < 1e37f ? CONTESTED : WILD;
}

// Which of 32 classes may win. The seven roundings of an interpolation move a value by less than
// 28 * 2^-24 of the greatest logit, so two values by less than 2^-18 of it; and by less than 1e-37
// where numbers are so small that they lose bits.
template <typename T>
__device__ inline unsigned int candidates_of(const Call& call, const Square<T>& square,
                                             const Winners& winners, int word) {
  const float margin = winners.most * (1.0f / 65536) + 1e-37f;
  Corners limits[4];
  for (int i = 0; i < 4; ++i) {
    limits[i] = square.corners(winners.labels[i]);
    for (int corner = 0; corner < 4; ++corner) limits[i].values[corner] -= margin;
  }
  unsigned int bits = 0;
  const int begin = 32 * word, end = least(begin + 32, call.classes);
#pragma unroll 4
  for (int class_id = begin; class_id < end; ++class_id) {
    const Corners logits = square.corners(class_id);
    const float* values = logits.values;
    bool beaten = false;
    for (int i = 0; i < 4; ++i) {
      const float* limit = limits[i].values;
      beaten |= values[0] < limit[0] && values[1] < limit[1] && values[2] < limit[2] &&
                values[3] < limit[3];
    }
    if (!beaten) bits |= 1u << (class_id - begin);
  }
  return bits;
}

// A thread looks at 32 classes in one square.
template <typename T>
__device__ inline void look_at_squares(const Call& call) {
  const Image& image = call.images[blockIdx.y];
  const int squares = squares_of(image.grid), across = squares_across(image.grid);
  const int item = blockIdx.x * FEW + threadIdx.x;
  const int index = item % squares, word = item / squares;
  if (32 * word >= call.classes) return;
  const int column = index % across, row = index / across;
  const Square<T> square(image, column, row);
  const Winners winners = winners_of(image, square, row * image.grid.x.cells + column);
  const int label = label_of(winners);
  if (word == 0) image.squares[index] = (unsigned short)label;
  if (label == CONTESTED)
    image.candidates[(long long)word * squares + index] =
        candidates_of(call, square, winners, word);
}

KERNEL(FEW, class_squares_float32, Call) { look_at_squares<float>(call); }
KERNEL(FEW, class_squares_float16, Call) { look_at_squares<Half>(call); }

__device__ inline float blended(float from, float to, float fraction) {
  return from + (to - from) * fraction;
}

// The first class with the highest logit at one pixel, of all classes.
template <typename T>
__device__ inline int interpolated(const Call& call, const Square<T>& square, float across,
                                   float down) {
  float best = 0.0f;
  int label = 0;
  for (int class_id = 0; class_id < call.classes; ++class_id) {
    const Corners logits = square.corners(class_id);
    const float above = blended(logits.values[0], logits.values[1], across);
    const float value = blended(above, blended(logits.values[2], logits.values[3], across), down);
    if (value != value) return UNLABELLED;
    if (class_id == 0 || value > best) {
      best = value;
      label = class_id;
    }
  }
  return label;
}

// The same at SPAN pixels below each other, of the candidates, all of whose values are finite.
template <typename T>
__device__ inline void contest(const Call& call, const Square<T>& square,
                               const unsigned int* candidates, int squares, float across,
                               const Place* down, int* labels) {
  float best[SPAN];
  for (int i = 0; i < SPAN; ++i) {
    best[i] = -3.402823466e38f;
    labels[i] = 0;
  }
  for (int begin = 0; begin < call.classes; begin += 32) {
    unsigned int left = candidates[(long long)(begin >> 5) * squares];
    for (; left; left &= left - 1) {
      const int class_id = begin + __ffs((int)left) - 1;
      const Corners logits = square.corners(class_id);
      const float above = blended(logits.values[0], logits.values[1], across);
      const float slope = blended(logits.values[2], logits.values[3], across) - above;
      for (int i = 0; i < SPAN; ++i) {
        const float value = slope * down[i].fraction + above;
        if (value > best[i]) {
          best[i] = value;
          labels[i] = class_id;
        }
      }
    }
  }
}

// What the pixels of a tile lie between; rows beyond the image repeat the last one.
struct Places {
  Place across[COLUMNS];
  Place down[ROWS + SPAN];
  unsigned int wanted[8];
  // The first rows of runs, and the end: at most SPAN rows that lie between the same cells.
  int runs[ROWS + 1];
  int count;
  int contested;
  unsigned short list[COLUMNS * ROWS];  // runs of columns that are contested

  __device__ unsigned char admitted(int class_id) const {
    return (unsigned char)(wanted[class_id >> 5] >> (class_id & 31) & 1 ? class_id : UNLABELLED);
  }
};

__device__ inline bool begins(const Place* down, int row) {
  return row % SPAN == 0 || down[row].lower != down[row - 1].lower;
}

__device__ inline void find_runs(Places& places, int rows) {
  const int row = threadIdx.x;
  if (row == 0) places.contested = 0;
  if (row > rows) return;
  int before = 0;
  for (int i = 0; i < row; ++i) before += begins(places.down, i);
  if (row == rows) {
    places.runs[before] = rows;
    places.count = before;
  } else if (begins(places.down, row)) {
    places.runs[before] = row;
  }
}

template <typename T>
struct FromLogits {
  // The pixels of one column of the tile in a run of rows, whose square is contested.
  __device__ static void settle(const Call& call, const Image& image, const Places& places,
                                int column, int run, unsigned char* tile) {
    const int begin = places.runs[run], count = places.runs[run + 1] - begin;
    const Place& x = places.across[column];
    const int row = places.down[begin].lower, squares = squares_of(image.grid);
    const Square<T> square(image, x.lower, row);
    const unsigned int* candidates =
        image.candidates + row * squares_across(image.grid) + x.lower;
    int labels[SPAN];
    contest(call, square, candidates, squares, x.fraction, places.down + begin, labels);
    unsigned char* out = tile + begin * COLUMNS + column;
    for (int i = 0; i < SPAN; ++i)
      if (i < count) out[i * COLUMNS] = places.admitted(labels[i]);
  }

  // Fills the tile where that is simple, and notes where it is not.
  __device__ static void begin(const Call& call, const Image& image, Places& places, int column,
                               int run, unsigned char* tile) {
    const Place& x = places.across[column];
    const int first = places.runs[run], count = places.runs[run + 1] - first;
    const Place* down = places.down + first;
    const int label = image.squares[down->lower * squares_across(image.grid) + x.lower];
    if (label == CONTESTED) {
      const int place = atomicAdd(&places.contested, 1);
      places.list[place] = (unsigned short)(run * COLUMNS + column);
      return;
    }
    unsigned char* out = tile + first * COLUMNS + column;
    if (label == WILD) {
      const Square<T> square(image, x.lower, down->lower);
      for (int i = 0; i < count; ++i)
        out[i * COLUMNS] =
            places.admitted(interpolated(call, square, x.fraction, down[i].fraction));
      return;
    }
    const unsigned char id = places.admitted(label);
    for (int i = 0; i < SPAN; ++i)
      if (i < count) out[i * COLUMNS] = id;
  }

  __device__ static void classes(const Call& call, const Image& image, Places& places,
                                 int columns, int rows, unsigned char* tile) {
    find_runs(places, rows);
    __syncthreads();
    for (int i = threadIdx.x; i < places.count * COLUMNS; i += THREADS)
      if (i % COLUMNS < columns) begin(call, image, places, i % COLUMNS, i / COLUMNS, tile);
    __syncthreads();
    for (int i = threadIdx.x; i < places.contested; i += THREADS) {
      const int item = places.list[i];
      settle(call, image, places, item % COLUMNS, item / COLUMNS, tile);
    }
  }
};

template <typename Id>
struct FromIds {
  __device__ static void classes(const Call& call, const Image& image, Places& places,
                                 int columns, int rows, unsigned char* tile) {
    const Id* ids = (const Id*)image.cells;
    for (int i = threadIdx.x; i < rows * COLUMNS; i += THREADS) {
      const int column = i % COLUMNS;
      if (column >= columns) continue;
      const long long row = places.down[i / COLUMNS].nearest;
      const long long id = (long long)ids[row * image.grid.x.cells + places.across[column].nearest];
      const int known = id >= 0 && id < UNLABELLED ? (int)id : UNLABELLED;
      tile[i] = places.admitted(known);
    }
  }
};

// Copies rows of a tile, whose bytes lie together, to an image.
__device__ inline void write_rows(unsigned char* out, long long step, const unsigned int* tile,
                                  int tile_words, int bytes, int rows, bool aligned) {
  const int across = aligned ? bytes / 4 : bytes;
  for (int i = threadIdx.x; i < across * rows; i += THREADS) {
    const int row = i / across, place = i % across;
    const unsigned int* from = tile + row * tile_words;
    unsigned char* to = out + row * step;
    if (aligned)
      ((unsigned int*)to)[place] = from[place];
    else
      to[place] = (unsigned char)(from[place >> 2] >> 8 * (place & 3));
  }
}

struct Tile {
  unsigned int ids[ROWS][COLUMNS / 4];  // four in a word
  unsigned int colours[ROWS][COLUMNS * 3 / 4];
  unsigned int palette[256];  // red in the lowest byte
};

// Four pixels are three words.
__device__ inline void colour(Tile& tile) {
  for (int i = threadIdx.x; i < ROWS * COLUMNS / 4; i += THREADS) {
    const int row = i / (COLUMNS / 4), place = i % (COLUMNS / 4);
    const unsigned int ids = tile.ids[row][place];
    const unsigned int a = tile.palette[ids & 255], b = tile.palette[ids >> 8 & 255];
    const unsigned int c = tile.palette[ids >> 16 & 255], d = tile.palette[ids >> 24];
    unsigned int* out = &tile.colours[row][3 * place];
    out[0] = a | b << 24;
    out[1] = b >> 8 | c << 16;
    out[2] = c >> 16 | d << 8;
  }
}

template <typename Source>
__device__ inline void class_map(const Call& call) {
  __shared__ Tile tile;
  __shared__ Places places;
  const Image& image = call.images[blockIdx.z];
  const int width = image.grid.x.pixels, height = image.grid.y.pixels;
  const int x0 = blockIdx.x * COLUMNS, y0 = blockIdx.y * ROWS;
  if (x0 >= width || y0 >= height) return;
  const int columns = least(COLUMNS, width - x0), rows = least(ROWS, height - y0);
  const Place* read = image.grid.places;
  const int thread = threadIdx.x;
  if (thread < COLUMNS)
    places.across[thread] = read[least(x0 + thread, width - 1)];
  else if (thread < COLUMNS + ROWS + SPAN)
    places.down[thread - COLUMNS] = read[width + least(y0 + thread - COLUMNS, height - 1)];
  if (thread < 8) places.wanted[thread] = call.wanted[thread];
  if (image.colours)
    tile.palette[thread] = call.palette[3 * thread] | call.palette[3 * thread + 1] << 8 |
                           call.palette[3 * thread + 2] << 16;
  __syncthreads();
  Source::classes(call, image, places, columns, rows, (unsigned char*)tile.ids);
  __syncthreads();
  const long long pixel = (long long)y0 * width + x0;
  const bool aligned = (width & 3) == 0;
  write_rows(image.ids + pixel, width, tile.ids[0], COLUMNS / 4, columns, rows, aligned);
  if (!image.colours) return;
  colour(tile);
  __syncthreads();
  write_rows(image.colours + 3 * pixel, 3LL * width, tile.colours[0], COLUMNS * 3 / 4,
             3 * columns, rows, aligned);
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
