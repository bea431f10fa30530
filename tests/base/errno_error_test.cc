#include "base/errno_error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace glm {
namespace {

TEST(ErrnoError, SaysWhatWasAttemptedOnWhat) {
  const Error error = errno_error("open", "/x/y", ENOENT);
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_EQ(error.message, "open /x/y: No such file or directory");
}

TEST(ErrnoError, IsOursOnlyWhereNothingElseExplainsIt) {
  for (const int number : {EISDIR, ELOOP, ENAMETOOLONG}) {  // a name that somebody gave
    EXPECT_EQ(errno_error("read", "x", number).code, Errc::invalid_argument) << number;
  }
  EXPECT_EQ(errno_error("write", "x", ENOSPC).code, Errc::exhausted);
  EXPECT_EQ(errno_error("write", "x", EROFS).code, Errc::permission);
  EXPECT_EQ(errno_error("write", "x", EBADF).code, Errc::internal);
}

}  // namespace
}  // namespace glm
