for (const slider of document.querySelectorAll('.viewer input')) {
  const viewer = slider.closest('.viewer');
  const numbers = slider.dataset.slices.split(' ');
  const show = () => {
    viewer.style.setProperty('--slice', slider.value);
    viewer.querySelector('output').textContent = 'slice ' + numbers[slider.value];
    slider.setAttribute('aria-valuetext', 'slice ' + numbers[slider.value]);
  };
  slider.addEventListener('input', show);
  show(); // a browser may remember where the slider was
}
