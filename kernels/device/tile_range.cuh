// The part of a token's positions that one of the blocks which share them reads, in tiles.
#pragma once

namespace glm::kernels::device {

// kTile positions; divides a page.
template <int kTile>
struct TileRange {
  int sequence;
  int visible;  // positions
  int first;    // tile
  int count;    // tiles; the last blocks may have none

  template <typename Source>
  __device__ static TileRange of(const Source& source, int token, int split, int splits) {
    const int visible = source.visible(token);
    const int tiles = (visible + kTile - 1) / kTile;
    const int share = (tiles + splits - 1) / splits;
    const int first = min(split * share, tiles);
    return {.sequence = source.sequence(token),
            .visible = visible,
            .first = first,
            .count = min(share, tiles - first)};
  }

  // Positions that are left from this tile on.
  __device__ int rows(int tile) const { return visible - (first + tile) * kTile; }

  template <typename Source>
  __device__ typename Source::Place place(const Source& source, int tile) const {
    return tile < count ? source.place(sequence, (first + tile) * kTile) : nullptr;
  }
};

}  // namespace glm::kernels::device
