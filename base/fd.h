// An owned file descriptor.
#pragma once

#include <unistd.h>

#include "base/handle.h"

namespace glm {

struct FdTraits {
  using Raw = int;
  static constexpr Raw kEmpty = -1;
  static void close(Raw fd) { (void)::close(fd); }  // data reached disk by fsync or not at all
};
using Fd = Handle<FdTraits>;

}  // namespace glm
