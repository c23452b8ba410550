// One pixel of a camera's image, in any encoding, as blue, green and red.
//
// The arithmetic is that of OpenCV's cvtColor, which preprocessing/colour.py calls: BT.601 with
// limited range in 20-bit fixed point, Bayer patterns bilinearly with the rim repeated.
#pragma once

#include "execution.cuh"

enum Layout { PACKED = 0, TWO_PLANES = 1, PAIRS = 2, MOSAIC = 3 };

// first, second, third:
//   PACKED      bytes of blue, green and red within a pixel
//   TWO_PLANES  bytes of u and v within a pair of chroma
//   PAIRS       bytes of the first luma, u and v within two pixels
//   MOSAIC      column and row (0 or 1) of red, and the byte within a sample
struct Pixels {
  const unsigned char* data;
  int width, height, step;
  int layout, pixel_bytes;
  int first, second, third;
};

struct Colour {
  int blue, green, red;
};

__device__ inline const unsigned char* row_of(const Pixels& pixels, int y) {
  return pixels.data + (long long)y * pixels.step;
}

__device__ inline int level_of(int fixed_point) { return between(fixed_point >> 20, 0, 255); }

__device__ inline Colour from_yuv(int luma, int u, int v) {
  const int light = greatest(luma - 16, 0) * 1220542 + (1 << 19);
  const int blueness = u - 128, redness = v - 128;
  Colour colour;
  colour.blue = level_of(light + 2116026 * blueness);
  colour.green = level_of(light - 852492 * redness - 409993 * blueness);
  colour.red = level_of(light + 1673527 * redness);
  return colour;
}

__device__ inline Colour from_packed(const Pixels& pixels, int x, int y) {
  const unsigned char* pixel = row_of(pixels, y) + x * pixels.pixel_bytes;
  Colour colour;
  colour.blue = pixel[pixels.first];
  colour.green = pixel[pixels.second];
  colour.red = pixel[pixels.third];
  return colour;
}

__device__ inline Colour from_two_planes(const Pixels& pixels, int x, int y) {
  const unsigned char* chroma = row_of(pixels, pixels.height + y / 2) + (x & ~1);
  return from_yuv(row_of(pixels, y)[x], chroma[pixels.first], chroma[pixels.second]);
}

__device__ inline Colour from_pairs(const Pixels& pixels, int x, int y) {
  const unsigned char* pair = row_of(pixels, y) + (x & ~1) * 2;
  return from_yuv(pair[pixels.first + (x & 1) * 2], pair[pixels.second], pair[pixels.third]);
}

// Mirrored at the rim without repeating it, which continues the pattern.
__device__ inline int mirrored(int i, int count) {
  if (i < 0) return -i;
  return i < count ? i : 2 * (count - 1) - i;
}

__device__ inline int sample(const Pixels& pixels, int x, int y) {
  x = mirrored(x, pixels.width);
  y = mirrored(y, pixels.height);
  return row_of(pixels, y)[x * pixels.pixel_bytes + pixels.third];
}

__device__ inline Colour from_mosaic(const Pixels& pixels, int x, int y) {
  // OpenCV repeats the colours next to the rim there; images of two rows or columns have no
  // others, so colour.py mirrors them, and `sample` does.
  if (pixels.width > 2 && pixels.height > 2) {
    x = between(x, 1, pixels.width - 2);
    y = between(y, 1, pixels.height - 2);
  }
  const int here = sample(pixels, x, y);
  const int left = sample(pixels, x - 1, y), right = sample(pixels, x + 1, y);
  const int above = sample(pixels, x, y - 1), below = sample(pixels, x, y + 1);
  const bool red_column = (x & 1) == pixels.first, red_row = (y & 1) == pixels.second;
  Colour colour;
  if (red_column != red_row) {
    const int across = (left + right + 1) >> 1, down = (above + below + 1) >> 1;
    colour.green = here;
    colour.red = red_row ? across : down;
    colour.blue = red_row ? down : across;
    return colour;
  }
  const int corners = sample(pixels, x - 1, y - 1) + sample(pixels, x + 1, y - 1) +
                      sample(pixels, x - 1, y + 1) + sample(pixels, x + 1, y + 1);
  const int diagonal = (corners + 2) >> 2;
  colour.green = (left + right + above + below + 2) >> 2;
  colour.red = red_row ? here : diagonal;
  colour.blue = red_row ? diagonal : here;
  return colour;
}

__device__ inline Colour colour_at(const Pixels& pixels, int x, int y) {
  switch (pixels.layout) {
    case TWO_PLANES: return from_two_planes(pixels, x, y);
    case PAIRS: return from_pairs(pixels, x, y);
    case MOSAIC: return from_mosaic(pixels, x, y);
    default: return from_packed(pixels, x, y);
  }
}
