// How source pixels lie in the cells of an output grid; decoding/interpolation.py on the device.
//
// Each file that needs it has this kernel of its own. It runs once per image, since float64,
// which it needs to be equal, is slow on many GPUs.
#pragma once

#include "execution.cuh"

// One pixel along one axis.
struct Place {
  int lower, upper;  // the cells that its centre lies between
  float fraction;    // the weight of the upper one
  int nearest;       // the cell that its centre lies in
};

struct Axis {
  double scale, offset, stride;
  int pixels, cells;
};

struct Grid {
  Place* places;  // of the columns, then of the rows
  Axis x, y;
};

__device__ inline Place place_of(const Axis& axis, int pixel) {
  const double position = ((pixel + 0.5) * axis.scale + axis.offset) / axis.stride;
  const double inner = between(position - 0.5, 0.0, (double)(axis.cells - 1));
  Place place;
  place.lower = least((int)inner, greatest(axis.cells - 2, 0));
  place.upper = least(place.lower + 1, axis.cells - 1);
  place.fraction = (float)(inner - place.lower);
  place.nearest = between((int)position, 0, axis.cells - 1);
  return place;
}

__device__ inline void write_places(const Grid& grid, int pixel) {
  if (pixel < grid.x.pixels)
    grid.places[pixel] = place_of(grid.x, pixel);
  else if (pixel < grid.x.pixels + grid.y.pixels)
    grid.places[pixel] = place_of(grid.y, pixel - grid.x.pixels);
}
