// Lets work on one stream run beside work on another, from a common beginning. Also while both are
// being captured: the second stream then belongs to the capture until the first has waited for it.
//
// Thread safety: one thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include "base/handle.h"
#include "base/result.h"

namespace glm::kernels::cuda {

class Fork {
 public:
  static Result<Fork> make();  // on the current device

  // What `side` is given from now on comes after what `main` has been given so far.
  cudaError_t begin(cudaStream_t main, cudaStream_t side);
  // Nothing more comes to `side` that belongs to this fork.
  cudaError_t end(cudaStream_t side);

  // After this event all that came between begin() and end() is done. Null if there is nothing, or
  // if it has been taken before; whoever takes it makes the main stream wait for it.
  cudaEvent_t take_end();

 private:
  struct EventTraits {
    using Raw = cudaEvent_t;
    static constexpr Raw kEmpty = nullptr;
    static void close(Raw event) { (void)cudaEventDestroy(event); }  // fails only after an error
  };

  Handle<EventTraits> begun_;
  Handle<EventTraits> ended_;
  bool pending_ = false;
};

}  // namespace glm::kernels::cuda
