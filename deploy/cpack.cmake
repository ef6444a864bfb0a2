# SPDX-License-Identifier: Apache-2.0
# Read when the package is made: what a Debian package has and `make install` leaves to the operator.
list(APPEND CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/package-files.cmake)
