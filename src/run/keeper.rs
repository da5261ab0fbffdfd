//! The thread that keeps tables in the state directory: control never waits for a disk.

use crate::output::Failure;
use control::warm::file;
use control::warm::image::Image;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

/// The running thread.
pub struct Keeper {
    /// What is to be kept; nothing once the thread is to end.
    images: Option<Sender<Arc<Image>>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Keeps in `path` what it is given.
    pub fn start(path: PathBuf) -> Result<Self, Failure> {
        let (images, asked) = channel::<Arc<Image>>();
        let work = move || {
            let mut warned = false;
            for image in &asked {
                // Only the latest counts.
                let image = asked.try_iter().last().unwrap_or(image);
                match file::store(&path, &image.body()) {
                    Ok(()) => warned = false,
                    Err(_) if warned => {}
                    Err(cause) => {
                        warned = true;
                        log::warn!(
                            "{}: keep tables: {cause}; flows may move at the next restart: make \
                             the directory writable, or set [state] directory",
                            path.display()
                        );
                    }
                }
            }
        };
        let thread = Builder::new().name("keeper".into()).spawn(work);
        let thread = thread
            .map_err(|cause| Failure::run("thread keeper", "start", cause.to_string(), None))?;
        Ok(Keeper {
            images: Some(images),
            thread: Some(thread),
        })
    }

    /// Keeps this instead of what was kept before.
    pub fn keep(&mut self, image: Arc<Image>) {
        if let Some(images) = &self.images {
            // Its thread ends after this one.
            let _ = images.send(image);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.images = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}
